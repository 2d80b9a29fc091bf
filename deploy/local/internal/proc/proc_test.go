package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

// TestMain plays the processes that the tests start: the test's own binary, told its part by a variable.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_PART") {
	case "":
		os.Exit(m.Run())
	case "sleeper":
		fmt.Println("ready")
		time.Sleep(time.Hour) // select {} would be taken for a deadlock
	case "polite":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		fmt.Println("bye")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour) // select {} would be taken for a deadlock
	case "parental": // has a child of its own in its group
		child := exec.Command(os.Args[0])
		child.Env = []string{"PROC_PART=stubborn"}
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			os.Exit(2)
		}
		fmt.Println("child", child.Process.Pid)
		time.Sleep(time.Hour) // select {} would be taken for a deadlock
	case "launcher":
		p, err := Start(Spec{Name: "child", Path: os.Args[0], Env: []string{"PROC_PART=stubborn"}, Log: os.Stdout})
		if err != nil {
			os.Exit(2)
		}
		fmt.Println("pid", p.PID())
		time.Sleep(time.Hour) // select {} would be taken for a deadlock
	case "talker":
		fmt.Println(strings.Repeat("x", 3*maxLine))
		fmt.Fprintln(os.Stderr, "AWS:"+os.Getenv("AWS_CA_BUNDLE")+os.Getenv("HOME"))
		for i := range 2 * tailSize {
			fmt.Println("line", i)
		}
		fmt.Print("no newline")
		os.Exit(3)
	}
}

type lines struct {
	mu   sync.Mutex
	b    bytes.Buffer
	cond chan string
}

func newLines() *lines { return &lines{cond: make(chan string, 1000)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cond <- string(p)
	return l.b.Write(p)
}

func (l *lines) wait(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case line := <-l.cond:
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("no line with %q", text)
		}
	}
}

func start(t *testing.T, part string) (*Process, *lines) {
	t.Helper()
	log := newLines()
	p, err := Start(Spec{Name: part, Path: os.Args[0], Env: []string{"PROC_PART=" + part}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p, log
}

// gone tells whether no process of this id runs; an unreaped one does not.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	after := stat[bytes.LastIndexByte(stat, ')')+1:]
	return bytes.HasPrefix(after, []byte(" Z")) || bytes.HasPrefix(after, []byte(" X"))
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !gone(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func pidAfter(t *testing.T, line, word string) int {
	t.Helper()
	_, after, _ := strings.Cut(line, word+" ")
	pid, err := strconv.Atoi(strings.TrimSpace(after))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestAPoliteProcessEndsByItselfWithStatusZero(t *testing.T) {
	p, log := start(t, "polite")
	log.wait(t, "ready")
	if err := p.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "polite  | bye")
	waitGone(t, p.PID())
}

func TestAStubbornProcessIsKilledAfterTheGrace(t *testing.T) {
	p, log := start(t, "stubborn")
	log.wait(t, "ready")
	begin := time.Now()
	if err := p.Stop(100 * time.Millisecond); !errors.Is(err, ErrKilled) {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	waitGone(t, p.PID())
	p.Kill() // once more does nothing
}

func TestTheWholeGroupEnds(t *testing.T) {
	p, log := start(t, "parental")
	child := pidAfter(t, log.wait(t, "child "), "child")
	log.wait(t, "ready")
	p.Kill()
	waitGone(t, child)
}

func TestProcessesDieWithALauncherThatIsKilled(t *testing.T) {
	launcher := proctest.Command(t, os.Args[0])
	launcher.Env = []string{"PROC_PART=launcher"}
	out, err := launcher.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := launcher.Start(); err != nil {
		t.Fatal(err)
	}
	pid, ready := 0, false
	for scan := bufio.NewScanner(out); (pid == 0 || !ready) && scan.Scan(); {
		if strings.HasPrefix(scan.Text(), "pid ") {
			pid = pidAfter(t, scan.Text(), "pid")
		}
		ready = ready || strings.Contains(scan.Text(), "ready")
	}
	if pid == 0 || gone(pid) {
		t.Fatal("no child runs")
	}
	_ = launcher.Process.Kill()
	_ = launcher.Wait()
	waitGone(t, pid)
}

func TestOutputIsPrefixedAndTheLastLinesAreKept(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "/inherited")
	p, log := start(t, "talker")
	<-p.Done()
	var exit *exec.ExitError
	if !errors.As(p.Err(), &exit) || exit.ExitCode() != 3 {
		t.Errorf("ended with %v", p.Err())
	}
	if got := log.wait(t, "xxx"); len(got) > maxLine+100 {
		t.Errorf("a line of %d bytes", len(got))
	}
	if got := log.wait(t, "AWS:"); got != "talker  | AWS:\n" {
		t.Errorf("the environment was inherited: %q", got)
	}
	tail := p.Tail()
	if len(tail) != tailSize || tail[len(tail)-1] != "no newline" || tail[0] != fmt.Sprintf("line %d", tailSize+1) {
		t.Errorf("tail %q", tail)
	}
}

func TestAProgramThatIsMissingIsSaid(t *testing.T) {
	if _, err := Start(Spec{Name: "none", Path: "/nonexistent/program"}); err == nil {
		t.Error("started")
	}
}
