package workers

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkBesideWork says how long it takes to hand a few bytes to a goroutine that waits for the network, while all
// workers multiply on P-384: the share of the schedulers, Go's and the kernel's, in a hot request beside cold work. Give
// it as many CPUs as there are workers: taskset -c 0 go test -run xx -bench BesideWork.
//
// The figures are medians over turns of 100, in which other processes' bursts are lost; units/s is what the workers did.
func BenchmarkBesideWork(b *testing.B) {
	for _, polite := range []bool{false, true} {
		b.Run(fmt.Sprintf("giveWay=%t", polite), func(b *testing.B) { besideWork(b, polite) })
	}
}

func besideWork(b *testing.B, polite bool) {
	n := runtime.NumCPU()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n + 1))
	p := New(Config{Workers: n, GiveWay: polite})
	defer p.Close()
	k, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	j := &grind{pool: p, key: k, stop: make(chan struct{}), done: make(chan struct{}), begun: time.Now()}
	j.submit()
	defer func() { <-j.done }()
	defer close(j.stop)

	const turn = 100
	var p50, p99 []float64
	late := ticks(b)
	took := make([]float64, 0, turn)
	b.ResetTimer()
	for range b.N {
		took = took[:0]
		for range turn {
			took = append(took, float64(<-late)/1000)
		}
		slices.Sort(took)
		p50, p99 = append(p50, took[turn/2]), append(p99, took[turn-1])
	}
	b.StopTimer()
	slices.Sort(p50)
	slices.Sort(p99)
	b.ReportMetric(p50[len(p50)/2], "µs-p50")
	b.ReportMetric(p99[len(p99)/2], "µs-p99")
	b.ReportMetric(float64(j.units.Load())/time.Since(j.begun).Seconds(), "units/s")
}

// ticks sends 2,000 times a second bytes through a socket, from a thread that sleeps in the kernel, and gives how long
// after the tick each was read.
func ticks(b *testing.B) <-chan time.Duration {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	f := os.NewFile(uintptr(pair[0]), "pair")
	c, err := net.FileConn(f)
	if err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
	late := make(chan time.Duration, 1<<16)
	start := time.Now()
	ended := make(chan struct{}, 2)
	go func() { // ends when the reader has closed its side
		defer func() { ended <- struct{}{} }()
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
		var msg [8]byte
		for at := time.Duration(0); ; at += 500 * time.Microsecond {
			for left := at - time.Since(start); left > 0; left = at - time.Since(start) {
				ts := unix.NsecToTimespec(int64(left))
				_ = unix.Nanosleep(&ts, nil)
			}
			binary.LittleEndian.PutUint64(msg[:], uint64(at))
			if _, err := unix.Write(pair[1], msg[:]); err != nil {
				_ = unix.Close(pair[1])
				return
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		var msg [8]byte
		for {
			if n, err := c.Read(msg[:]); n != len(msg) || err != nil {
				return
			}
			select {
			case late <- time.Since(start) - time.Duration(binary.LittleEndian.Uint64(msg[:])):
			default:
			}
		}
	}()
	b.Cleanup(func() {
		_ = c.Close()
		<-ended
		<-ended
	})
	return late
}

// grind is a job that comes again until it is told to stop.
type grind struct {
	Task
	pool  *Pool
	key   *ecdh.PrivateKey
	units atomic.Int64
	begun time.Time
	stop  chan struct{}
	done  chan struct{}
}

func (j *grind) submit() {
	if err := j.pool.Submit(&j.Task, j, Batch, 0, 1000, time.Hour); err != nil {
		panic(err)
	}
}

func (j *grind) Unit(int) Outcome {
	select {
	case <-j.stop:
	default:
		if _, err := j.key.ECDH(j.key.PublicKey()); err != nil {
			panic(err)
		}
		j.units.Add(1)
	}
	return Worked
}

func (j *grind) Done() {
	select {
	case <-j.stop:
		close(j.done)
	default:
		j.submit()
	}
}

func (*grind) Panicked() {}
