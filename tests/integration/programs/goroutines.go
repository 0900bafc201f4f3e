package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

const goroutines, size = 2000, 2048

// spin makes no call: only a signal can stop it, and the collector has to.
func spin(n int) (sum int) {
	for i := 0; i < n; i++ {
		sum += i ^ (i >> 3)
	}
	return
}

func work(n int, bad chan<- string) {
	buffer := make([]byte, size)
	for i := range buffer {
		buffer[i] = byte(n + i)
	}
	for round := 0; round < 5; round++ {
		file, err := os.Open("/proc/self/comm")
		if err != nil {
			bad <- err.Error()
			return
		}
		file.Close()
		spin(20000)
		runtime.Gosched()
	}
	for i := range buffer {
		if buffer[i] != byte(n+i) {
			bad <- fmt.Sprintf("buffer %d is damaged at %d", n, i)
			return
		}
	}
}

func main() {
	bad := make(chan string, goroutines)
	var group sync.WaitGroup
	for n := 0; n < goroutines; n++ {
		group.Add(1)
		go func(n int) { defer group.Done(); work(n, bad) }(n)
	}
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				runtime.GC()
			}
		}
	}()
	group.Wait()
	close(stop)
	close(bad)
	for text := range bad {
		fmt.Println(text)
	}
	out, err := exec.Command("sh", "-c", "echo $((35 + 7))").Output()
	fmt.Println("child", string(out), err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		connection, _ := listener.Accept()
		fmt.Fprintf(connection, "served %d", spin(1000))
		connection.Close()
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	answer := make([]byte, 100)
	n, _ := connection.Read(answer)
	path, _ := os.Executable()
	fmt.Println(goroutines, "goroutines,", string(answer[:n]), path, os.Args)
}
