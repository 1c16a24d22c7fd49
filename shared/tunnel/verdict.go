package tunnel

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// The verdict is the hub's first word on a tunnel, before yamux: two bytes of length, then so much JSON; length zero admits
// the agent. TLS 1.3 lets a client finish its handshake before the server has looked at its certificate, so without it an
// agent would take a refusal for a session that broke, and would not learn when to come back.

// maxVerdict bounds what an agent reads.
const maxVerdict = 4096

// refusal is the JSON of a verdict.
type refusal struct {
	Code       fault.Code `json:"code"`
	Message    string     `json:"message"`
	RetryAfter int64      `json:"retryAfterMs,omitempty"` // 0 says nothing
}

// writeVerdict tells the agent whether it is admitted: nil admits.
func writeVerdict(w io.Writer, refused error) error {
	body := []byte{}
	if refused != nil {
		f := fault.Public(refused)
		var err error
		body, err = json.Marshal(refusal{f.Code, f.Message, f.RetryAfter.Milliseconds()})
		if err != nil || len(body) > maxVerdict {
			body = []byte(`{"code":"` + string(f.Code) + `"}`)
		}
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...))
	return err
}

// readVerdict waits for the hub's verdict and returns the fault by which it refuses, if it does.
func readVerdict(r io.Reader) error {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return handshakeErr(err)
	}
	n := binary.BigEndian.Uint16(size[:])
	if n == 0 {
		return nil
	}
	if n > maxVerdict {
		return fault.New(fault.Internal, "the hub's verdict has %d bytes, more than %d", n, maxVerdict)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return handshakeErr(err)
	}
	var v refusal
	if err := json.Unmarshal(body, &v); err != nil {
		return fault.Wrap(err, fault.Internal, "the hub's verdict cannot be read")
	}
	return fault.New(v.Code, "the hub refused the tunnel: %s", v.Message).After(time.Duration(v.RetryAfter) * time.Millisecond)
}
