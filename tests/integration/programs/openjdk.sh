# The compiler and what it made: threads, a collector at work, children, a local server.
cat >Job.java <<'J'
import java.io.*; import java.net.*; import java.nio.file.*; import java.security.*; import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class Job {
    public static void main(String[] words) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<Long>> parts = new ArrayList<>();
        for (int n = 0; n < 8; n++) { final int from = n; parts.add(pool.submit(() -> LongStream.range(from * 10000L, (from + 1) * 10000L).sum())); }
        long total = 0;
        for (Future<Long> part : parts) total += part.get();
        pool.shutdown();
        System.out.println("threads " + total);
        List<byte[]> kept = new ArrayList<>();
        for (int n = 0; n < 3000; n++) { byte[] block = new byte[16384]; if (n % 100 == 0) kept.add(block); }
        System.gc();
        System.out.println("kept " + kept.size());
        Process child = new ProcessBuilder("sh", "-c", "read x; echo \"child got $x\"; exit 4").redirectErrorStream(true).start();
        try (Writer to = child.outputWriter()) { to.write("this\n"); }
        System.out.print(new String(child.getInputStream().readAllBytes()));
        System.out.println(child.waitFor());
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        Thread serving = new Thread(() -> { try (Socket s = server.accept()) { s.getOutputStream().write("served".getBytes()); } catch (IOException e) { throw new UncheckedIOException(e); } });
        serving.start();
        try (Socket s = new Socket(InetAddress.getLoopbackAddress(), server.getLocalPort())) { System.out.println(new String(s.getInputStream().readAllBytes())); }
        serving.join();
        try { Object nothing = null; nothing.hashCode(); } catch (NullPointerException e) { System.out.println("null caught"); }
        System.out.println(HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest("java".repeat(1000).getBytes())));
        System.out.println(Files.readString(Path.of("/proc/self/comm")).strip() + " " + ProcessHandle.current().info().command().get());
    }
}
J
javac -J-Xshare:auto -d . Job.java
java -Xmx64m -XX:-UsePerfData -cp . Job
