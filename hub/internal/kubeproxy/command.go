package kubeproxy

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// spoken are the protocols of commands in which each WebSocket message begins with its channel, and a Status on one of them is the verdict.
var spoken = []string{"v4.channel.k8s.io", "v5.channel.k8s.io"}

// The parts of WebSocket's framing (RFC 6455) that are needed here, and the channel of verdicts.
const (
	frameFinal    = 0x80
	frameReserved = 0x70
	frameControl  = 0x08
	frameBinary   = 0x02
	frameClose    = 0x08
	frameMasked   = 0x80

	verdictChannel = 3
	closeNormal    = 1000
)

// commandBody is the connection of a command. Where the cluster's side breaks off between two messages, the client is told on the channel of verdicts,
// and it ends in order; broken off within a message it stays broken.
type commandBody struct {
	connBody
	frames  frames
	parting parting
	said    sync.Once
	over    chan struct{} // closed when all that there is was read
}

func newCommandBody(inner connBody) *commandBody {
	return &commandBody{connBody: inner, over: make(chan struct{})}
}

// command tells whether an answer begins a command whose messages can be followed.
func (s *passage) command(resp *http.Response) bool {
	q, h := s.request, resp.Header
	return q.Group == "" && q.Resource == "pods" && (q.Subresource == "exec" || q.Subresource == "attach") &&
		slices.Contains(spoken, h.Get("Sec-Websocket-Protocol")) && h.Get("Sec-Websocket-Extensions") == ""
}

// Read gives the cluster's bytes, then ours.
func (b *commandBody) Read(p []byte) (int, error) {
	n, err := b.parting.read(p, &b.body, b.frames.pass, b.farewell)
	if n == 0 && err != nil {
		b.said.Do(func() { close(b.over) })
	}
	return n, err
}

// Close ends the cluster's side. What is to be said of it may still be on its way to the client: whoever splices ends the passage.
func (b *commandBody) Close() error {
	if b.pass.connected() {
		return b.ReadCloser.Close()
	}
	return b.connBody.Close()
}

// Write waits, when it fails, until what is to be said was read: whoever splices ends both directions with the first that fails.
func (b *commandBody) Write(p []byte) (int, error) {
	n, err := b.connBody.Write(p)
	if err != nil {
		late := time.NewTimer(linger)
		defer late.Stop()
		select {
		case <-b.over:
		case <-late.C:
		}
	}
	return n, err
}

// farewell is what comes after the cluster's bytes when they end with err.
func (b *commandBody) farewell(err error) (last []byte, ended error) {
	verdict := b.pass.broke(err)
	if verdict == nil || b.frames.closed || !b.frames.between() {
		return nil, err
	}
	// An end of another sort would make clients drop the verdict; API servers too end so after one that is bad.
	goodbye := frame(frameClose, binary.BigEndian.AppendUint16(nil, closeNormal))
	if b.frames.told {
		return goodbye, io.EOF
	}
	text, broken := json.Marshal(verdict)
	if broken != nil {
		return nil, err
	}
	return append(frame(frameBinary, append([]byte{verdictChannel}, text...)), goodbye...), io.EOF
}

// broke is the verdict of a command whose end nobody saw; nil where the client has left, or is somebody within the hub, who knows better.
func (s *passage) broke(err error) *metav1.Status {
	what := "the connection to cluster " + s.cluster + " was lost in the middle of the command" + because(err)
	var cut *fault.Error
	switch cause := context.Cause(s.ctx); {
	case errors.As(cause, &cut) && s.connected():
		what = "the command was cut off: " + cut.Message
	case cause != nil:
		return nil
	case err == io.EOF: //nolint:errorlint // readers give it as it is
		what = "cluster " + s.cluster + " broke the connection off in the middle of the command"
	}
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
		Reason: metav1.StatusReasonInternalError, Message: what + "; whether it goes on there isn't known",
	}
}

// frame is a whole message as a server sends it, shorter than 64 KiB.
func frame(kind byte, payload []byte) []byte {
	out := []byte{frameFinal | kind}
	if len(payload) < 126 {
		out = append(out, byte(len(payload)))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(len(payload)))
	}
	return append(out, payload...)
}

// frames follows what a WebSocket's server sends, by the frames' headers and the messages' first bytes.
type frames struct {
	head   [14]byte
	have   int    // bytes of head
	left   uint64 // bytes of the frame
	first  bool   // the next of them is a message's channel
	within bool   // a message is in fragments, of which some are to come
	told   bool   // there was a verdict
	closed bool   // the server has said that it ends
	lost   bool   // nothing is known: it uses what wasn't agreed on
}

func (f *frames) between() bool { return f.have == 0 && f.left == 0 && !f.within && !f.lost }

// header is the length of a frame's header, as far as it is known.
func (f *frames) header() int {
	size := 2
	if f.have < size {
		return size
	}
	switch f.head[1] &^ frameMasked {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if f.head[1]&frameMasked != 0 {
		size += 4
	}
	return size
}

func (f *frames) pass(p []byte) {
	for len(p) > 0 && !f.lost {
		if f.left > 0 {
			f.told = f.told || f.first && p[0] == verdictChannel
			f.first = false
			n := min(f.left, uint64(len(p)))
			f.left, p = f.left-n, p[n:]
			continue
		}
		n := copy(f.head[f.have:f.header()], p)
		f.have, p = f.have+n, p[n:]
		if f.have == f.header() {
			f.begin()
		}
	}
}

// begin reads the header of a frame.
func (f *frames) begin() {
	f.have = 0
	kind, final := f.head[0]&0x0f, f.head[0]&frameFinal != 0
	f.lost = f.head[0]&frameReserved != 0 || f.head[1]&frameMasked != 0
	switch length := f.head[1] &^ frameMasked; length {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	default:
		f.left = uint64(length)
	}
	if kind&frameControl != 0 {
		f.closed = f.closed || kind == frameClose
		return
	}
	f.first, f.within = kind != 0, !final
}
