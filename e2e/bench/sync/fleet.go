package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// The snapshot that each agent sends, in frames as an agent's are: 4 MB.
const (
	snapshotFrames = 146
	frameBody      = 28 << 10
)

// fleet is a process of agents, which does what it is told, a word a line. It speaks the protocol by hand, so that one process holds hundreds.
type fleet struct {
	cmd   *exec.Cmd
	words io.WriteCloser
	done  *bufio.Reader
}

// order is what the process reads first.
type order struct {
	Hub    string
	Tokens []string
}

func startFleet(ctx context.Context, o order) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-fleet")
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
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
	if answer = strings.TrimSpace(answer); err == nil && answer != "done" {
		err = errors.New(answer)
	}
	return err
}

func (f *fleet) stop() {
	_ = f.words.Close()
	_ = f.cmd.Wait()
}

// beFleet is that process.
func beFleet(ctx context.Context, _ settings) error {
	in := bufio.NewReader(os.Stdin)
	var o order
	if err := gob.NewDecoder(in).Decode(&o); err != nil {
		return err
	}
	agents := make([]idler, len(o.Tokens))
	words := bufio.NewScanner(in)
	for words.Scan() {
		var g errgroup.Group
		g.SetLimit(8)
		for i := range agents {
			g.Go(func() error {
				if words.Text() == "connect" {
					return agents[i].connect(ctx, o.Hub, o.Tokens[i])
				}
				return agents[i].send()
			})
		}
		if err := g.Wait(); err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		fmt.Println("done")
	}
	return words.Err()
}

// idler is one agent, reduced to its session.
type idler struct {
	stream grpc.BidiStreamingClient[tunnelv1.AgentFrame, tunnelv1.HubFrame]
	epoch  int64
}

// connect enrols, dials and says hello.
func (a *idler) connect(ctx context.Context, hub, text string) error {
	endpoint := tunnel.Endpoint{URL: hub, ServerName: join.HubName}
	credentials, uid, err := enrol(ctx, endpoint, text)
	if err != nil {
		return err
	}
	session, err := retry(ctx, func() (*tunnel.Session, error) {
		return tunnel.Dial(ctx, tunnel.DialConfig{Endpoint: endpoint, Credentials: credentials})
	})
	if err != nil {
		return err
	}
	client, err := session.DialGRPC()
	if err != nil {
		return err
	}
	if a.stream, err = tunnelv1.NewSyncClient(client).Session(ctx); err != nil {
		return err
	}
	err = a.stream.Send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Hello{Hello: &tunnelv1.Hello{
		Capability: wire.Capability, Instance: rand.Text(), AgentVersion: "bench", DigestVersions: []int32{topo.DigestVersion}, KubeSystemUid: uid,
		KubernetesVersion: "v1.37.2", Share: tunnelv1.Share_SHARE_MANIFESTS,
	}}})
	if err != nil {
		return err
	}
	welcome, err := a.stream.Recv()
	a.epoch = welcome.GetWelcome().GetEpoch()
	return err
}

// retry comes back when the hub says that it is busy, as an agent does.
func retry[T any](ctx context.Context, try func() (T, error)) (T, error) {
	backoff := tunnel.Backoff{First: time.Second, Cap: time.Second}
	for {
		out, err := try()
		if err == nil || !fault.Retryable(err) {
			return out, err
		}
		if err := backoff.Wait(ctx, err); err != nil {
			return out, err
		}
	}
}

func enrol(ctx context.Context, endpoint tunnel.Endpoint, text string) (c tunnel.Credentials, uid string, err error) {
	token, err := join.Parse(text)
	if err != nil {
		return c, "", err
	}
	uid = rand.Text()
	key, req, err := request(token, uid)
	if err != nil {
		return c, "", err
	}
	reply, err := retry(ctx, func() (*tunnelv1.EnrolReply, error) { return ask(ctx, endpoint, token, req) })
	if err != nil {
		return c, "", err
	}
	c = tunnel.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{reply.GetCertificate()}, PrivateKey: key}, Roots: x509.NewCertPool()}
	for _, der := range reply.GetTrustBundle() {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return c, "", err
		}
		c.Roots.AddCert(root)
	}
	return c, uid, nil
}

func ask(ctx context.Context, endpoint tunnel.Endpoint, token join.Token, req *tunnelv1.EnrolRequest) (*tunnelv1.EnrolReply, error) {
	conn, err := tunnel.DialEnroll(ctx, endpoint, token.Pin)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	client, err := tunnel.NewGRPCClient(func(context.Context) (net.Conn, error) { return conn, nil })
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	return tunnelv1.NewEnrolmentClient(client).Enrol(ctx, req)
}

// request makes an agent's two keys and what it asks for with them.
func request(token join.Token, uid string) (*ecdsa.PrivateKey, *tunnelv1.EnrolRequest, error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	identity, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, own)
	if err != nil {
		return nil, nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(identity.Public())
	if err != nil {
		return nil, nil, err
	}
	digest := sha256.Sum256(csr)
	proof, err := identity.Sign(rand.Reader, digest[:], crypto.SHA256)
	return own, &tunnelv1.EnrolRequest{Token: token.Text(), Csr: csr, IdentityKey: public, IdentityProof: proof, KubeSystemUid: uid}, err
}

// send sends the first load and waits until all of it is acknowledged. Its texts don't compress: what counts is what goes through.
func (a *idler) send() error {
	body := make([]byte, frameBody)
	for seq := int64(1); seq <= snapshotFrames; seq++ {
		_, _ = rand.Read(body) // never fails
		sum := sha256.Sum256(body)
		ref := topo.Ref{Kind: "ConfigMap", Namespace: "bench", Name: fmt.Sprintf("c-%03d", seq)}
		d := topo.Delta{Nodes: []topo.Node{{Ref: ref, UID: "u"}}, Manifests: []topo.Manifest{{Ref: ref, Hash: topo.ID(sum[:16]), Body: body}}}
		rows, err := wire.Encode(&d)
		if err != nil {
			return err
		}
		last := seq == snapshotFrames
		frame := &tunnelv1.Delta{Epoch: a.epoch, Seq: seq, Rows: rows, Load: !last, LoadEnd: last}
		if err := a.stream.Send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Delta{Delta: frame}}); err != nil {
			return err
		}
	}
	for {
		f, err := a.stream.Recv()
		if err != nil || f.GetAck().GetSeq() == snapshotFrames {
			return err
		}
	}
}
