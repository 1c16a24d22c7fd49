package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// fleet is a process full of agents, driven by one word a line.
type fleet struct {
	cmd   *exec.Cmd
	words io.WriteCloser
	done  *bufio.Reader
}

// order is what the process reads first: where the hub is, and who its agents are. Each has a certificate of its own, since
// equal ones could be shared in memory.
type order struct {
	Hub   string
	Root  []byte
	Certs [][]byte
	Keys  [][]byte
}

// startFleet starts the process; its agents wait for their word.
func startFleet(ctx context.Context, ca *tunneltest.CA, hub string, n int) (*fleet, error) {
	o := order{Hub: hub, Root: ca.Cert.Raw}
	for i := range n {
		c := ca.Agent(fmt.Sprintf("spiffe://bench/tenant/t/cluster/c%d", i), time.Hour)
		key, err := x509.MarshalPKCS8PrivateKey(c.Certificate.PrivateKey)
		if err != nil {
			return nil, err
		}
		o.Certs, o.Keys = append(o.Certs, c.Certificate.Certificate[0]), append(o.Keys, key)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-agents")
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &fleet{cmd, in, bufio.NewReader(out)}, gob.NewEncoder(in).Encode(o)
}

// do gives the agents a word and waits until all have done it.
func (f *fleet) do(word string) error {
	if _, err := fmt.Fprintln(f.words, word); err != nil {
		return err
	}
	answer, err := f.done.ReadString('\n')
	if err == nil && strings.TrimSpace(answer) != "done" {
		err = errors.New(strings.TrimSpace(answer))
	}
	return err
}

func (f *fleet) stop() {
	_ = f.words.Close()
	_ = f.cmd.Wait()
}

// beFleet is the process of the agents.
func beFleet(ctx context.Context) error {
	in := bufio.NewReader(os.Stdin)
	var o order
	if err := gob.NewDecoder(in).Decode(&o); err != nil {
		return err
	}
	agents := make([]*agent, len(o.Certs))
	for i := range agents {
		agents[i] = &agent{}
	}
	words := bufio.NewScanner(in)
	for words.Scan() {
		err := forAll(agents, func(i int, a *agent) error {
			if words.Text() == "connect" {
				return a.connect(ctx, &o, i)
			}
			return a.send()
		})
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Println("done")
	}
	return words.Err()
}

// forAll lets eight agents at a time do something.
func forAll(agents []*agent, do func(int, *agent) error) error {
	errs := make(chan error, len(agents))
	slots := make(chan struct{}, 8)
	for i, a := range agents {
		slots <- struct{}{}
		go func() { errs <- do(i, a); <-slots }()
	}
	var all error
	for range agents {
		all = errors.Join(all, <-errs)
	}
	return all
}

// agent is one tunnel with one sync stream on it.
type agent struct{ sync grpc.ClientStream }

func (a *agent) connect(ctx context.Context, o *order, i int) error {
	cred, err := o.credentials(i)
	if err != nil {
		return err
	}
	s, err := dial(ctx, tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + o.Hub, ServerName: tunneltest.HubName},
		Credentials: cred,
	})
	if err != nil {
		return err
	}
	client, err := s.DialGRPC()
	if err != nil {
		return err
	}
	if a.sync, err = client.NewStream(ctx, &syncService.Streams[0], "/bench.Sync/Sync"); err != nil {
		return err
	}
	return a.say(nil)
}

// dial comes back when the hub says that it is busy, as an agent does.
func dial(ctx context.Context, cfg tunnel.DialConfig) (*tunnel.Session, error) {
	backoff := tunnel.Backoff{First: time.Second, Cap: time.Second}
	for {
		s, err := tunnel.Dial(ctx, cfg)
		if err == nil || fault.RetryAfter(err) == 0 {
			return s, err
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

func (o *order) credentials(i int) (tunnel.Credentials, error) {
	root, err := x509.ParseCertificate(o.Root)
	if err != nil {
		return tunnel.Credentials{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(o.Keys[i])
	if err != nil {
		return tunnel.Credentials{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return tunnel.Credentials{
		Certificate: tls.Certificate{Certificate: [][]byte{o.Certs[i]}, PrivateKey: key.(*ecdsa.PrivateKey)},
		Roots:       roots,
	}, nil
}

// send sends a snapshot and waits until the hub has it.
func (a *agent) send() error {
	bulk := make([]byte, messageSize)
	for range snapshotMessages {
		if err := a.sync.SendMsg(&wrapperspb.BytesValue{Value: bulk}); err != nil {
			return err
		}
	}
	return a.say([]byte("end"))
}

// say sends a short message and waits for its acknowledgement.
func (a *agent) say(text []byte) error {
	if err := a.sync.SendMsg(&wrapperspb.BytesValue{Value: text}); err != nil {
		return err
	}
	return a.sync.RecvMsg(&wrapperspb.BytesValue{})
}
