package session

import (
	"bytes"
	"io"
	"net"
	"reflect"
	"sync"
	"unsafe"

	"github.com/hashicorp/yamux"
)

// scrub reads from a yamux stream and wipes the memory in which yamux received what was read. yamux gives no access
// to that memory, so scrub finds two private fields of its Stream by name and type. If a version of yamux has others,
// nothing is wiped, and TestYamuxReceiveMemoryIsWiped fails.
type scrub struct {
	net.Conn
	lock  *sync.Mutex
	buf   **bytes.Buffer
	dirty int // bytes read since all was last wiped: no byte was ever received further from the memory's start
}

// recvFields are where a yamux.Stream keeps its receive buffer and the lock of it.
var recvFields = func() (f struct {
	buf, lock uintptr
	ok        bool
},
) {
	t := reflect.TypeFor[yamux.Stream]()
	buf, hasBuf := t.FieldByName("recvBuf")
	lock, hasLock := t.FieldByName("recvLock")
	f.ok = hasBuf && hasLock && buf.Type == reflect.TypeFor[*bytes.Buffer]() && lock.Type == reflect.TypeFor[sync.Mutex]()
	f.buf, f.lock = buf.Offset, lock.Offset
	return f
}()

// newScrub wraps st. The receive buffer is replaced by one so large that it never grows, and so never leaves a copy.
func newScrub(st net.Conn) net.Conn {
	ys, ok := st.(*yamux.Stream)
	if !ok || !recvFields.ok {
		return st
	}
	at := unsafe.Pointer(ys) // checked by name and type above
	s := &scrub{
		Conn: st,
		lock: (*sync.Mutex)(unsafe.Add(at, recvFields.lock)),
		buf:  (**bytes.Buffer)(unsafe.Add(at, recvFields.buf)),
	}
	// bytes.Buffer slides what is unread to the front, instead of growing, while it fills less than half.
	whole := bytes.NewBuffer(make([]byte, 0, 2*(libraryWindow+bytes.MinRead)))
	s.lock.Lock()
	defer s.lock.Unlock()
	if old := *s.buf; old != nil {
		whole.Write(old.Bytes())
		clear(old.Bytes())
	}
	*s.buf = whole
	return s
}

// Read reads and, when nothing is left unread, wipes what has been received since the last time.
func (s *scrub) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.dirty += n
	s.lock.Lock()
	if b := *s.buf; b != nil && b.Len() == 0 {
		b.Reset()
		memory := b.AvailableBuffer()
		clear(memory[:min(s.dirty, cap(memory))])
		s.dirty = 0
	}
	s.lock.Unlock()
	return n, err
}

// wipe clears everything, read or not, at the end of a session.
func (s *scrub) wipe() {
	s.lock.Lock()
	defer s.lock.Unlock()
	if b := *s.buf; b != nil {
		b.Reset()
		memory := b.AvailableBuffer()
		clear(memory[:cap(memory)])
	}
}

// wiper is implemented by readers that hold what they have read.
type wiper interface{ wipe() }

var (
	_ io.Reader = (*scrub)(nil)
	_ wiper     = (*scrub)(nil)
)
