package conn

import (
	"errors"
	"strconv"
	"syscall"
)

// Stream is where an answer without a known end is written, piece by piece. It is
// not for several goroutines at once.
type Stream struct {
	s   *Session
	err error // of the first write that failed; nothing is written after it
}

// Stream makes what run writes the body of the answer, in chunks. run is called on
// this goroutine after Handler.Serve has returned and the header was sent, also when
// that failed; it must not use the RequestCtx. While it runs, the session holds no
// buffers. The answer ends when run returns.
func (s *Session) Stream(run func(*Stream)) { s.streaming = run }

// stream sends the header, and then what run writes.
func (s *Session) stream(run func(*Stream)) error {
	s.streaming = nil
	head, bw := &s.b.ctx.Response.Header, s.b.bw
	head.SetContentLength(-1) // says "chunked"
	_, err := bw.Write(head.AppendBytes(bw.AvailableBuffer()))
	out := Stream{s: s, err: errors.Join(err, bw.Flush())}
	s.releaseForWait()
	run(&out)
	s.acquireBuffers()
	if out.err == nil {
		_, out.err = s.b.bw.WriteString("0\r\n\r\n")
	}
	return errors.Join(out.err, s.b.bw.Flush())
}

// AppendChunk appends p as a chunk. p must not be empty.
func AppendChunk(dst, p []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(len(p)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, p...)
	return append(dst, "\r\n"...)
}

// Write sends chunks, or what TryWrite has left of them. It waits until they are
// taken, within the write timeout.
func (st *Stream) Write(chunks []byte) error {
	if st.err == nil {
		_, st.err = st.s.w.Write(chunks)
	}
	return st.err
}

// WritePiece sends p as a chunk, unless it is empty, as Write does.
func (st *Stream) WritePiece(p []byte) error {
	if st.err != nil || len(p) == 0 {
		return st.err
	}
	var size [20]byte
	head := append(strconv.AppendUint(size[:0], uint64(len(p)), 16), "\r\n"...)
	st.err = st.s.w.writeAll(head, p, []byte("\r\n"))
	return st.err
}

// TryWrite sends as much of chunks as can be sent without waiting. On a connection
// that is no socket, that is nothing.
func (st *Stream) TryWrite(chunks []byte) (n int, err error) {
	if st.err != nil || st.s.c.raw == nil {
		return 0, st.err
	}
	failed := st.s.c.raw.Control(func(fd uintptr) {
		for {
			n, err = syscall.Write(int(fd), chunks)
			if !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	n = max(n, 0)
	if errors.Is(err, syscall.EAGAIN) {
		err = nil
	}
	st.err = errors.Join(failed, err)
	return n, st.err
}
