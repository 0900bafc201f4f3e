# Threads, forks, processes started, fibers, sockets.
cat >job.rb <<'R'
require 'digest'; require 'json'; require 'open3'; require 'socket'; require 'erb'
totals = 8.times.map { |n| Thread.new { (n * 1000...(n + 1) * 1000).sum } }.map(&:value)
puts totals.sum
reader, writer = IO.pipe
pid = fork { reader.close; writer.puts (1..20).reduce(:*); exit! 3 }
writer.close; puts reader.read; Process.wait pid; puts $?.exitstatus
out, status = Open3.capture2('sort -r', stdin_data: "b\na\nc\n")
puts out.split.join, status.success?
server = TCPServer.new('127.0.0.1', 0)
Thread.new { client = server.accept; client.puts client.gets.reverse.strip; client.close }
TCPSocket.open('127.0.0.1', server.addr[1]) { |s| s.puts 'stressed'; puts s.gets }
fibers = Fiber.new { 5.times { |n| Fiber.yield n * n }; nil }
puts Array.new(5) { fibers.resume }.join(' ')
puts Digest::SHA256.hexdigest('ruby' * 1000), JSON.generate({ a: [1, nil, 2.5] }), ERB.new('<%= 6 * 7 %>').result
puts `echo #{$PROGRAM_NAME}`
came = false; trap('USR2') { puts 'USR2'; came = true }; Process.kill('USR2', $$); sleep 0.001 until came
R
ruby --disable-gems job.rb
