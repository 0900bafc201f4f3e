# The toolchain builds a program; 2,000 goroutines on 2 KiB stacks beside patterned buffers then make calls, are preempted
# by signals, and look whether any stack grew into a buffer.
export GOCACHE="$PWD/cache" GOPATH="$PWD/path" GO111MODULE=off GOFLAGS=-p=2 GOTOOLCHAIN=local CGO_ENABLED=0
go build -o program goroutines.go
for n in 1 2 3; do ./program; done
GODEBUG=asyncpreemptoff=1 GOGC=5 ./program
gofmt -l goroutines.go
go tool nm program | grep -c ' main\.'
rm -rf cache path
