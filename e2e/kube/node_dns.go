package kube

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// nameserver is the DNS of a cluster with a real node, as far as its pods need one: the addresses of Services, SERVICE.NAMESPACE.svc.cluster.local. It knows no other names.
type nameserver struct {
	client  *kubernetes.Clientset
	packets net.PacketConn
	streams net.Listener
	ctx     context.Context
	end     context.CancelFunc
	busy    sync.WaitGroup
}

func (c *Cluster) serveNames(at netip.Addr) (*nameserver, error) {
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return nil, err
	}
	s := &nameserver{client: client}
	address := netip.AddrPortFrom(at, 53).String()
	if s.packets, err = net.ListenPacket("udp", address); err != nil {
		return nil, fmt.Errorf("serve names: %w", err)
	}
	if s.streams, err = net.Listen("tcp", address); err != nil {
		return nil, errors.Join(fmt.Errorf("serve names: %w", err), s.packets.Close())
	}
	s.ctx, s.end = context.WithCancel(context.Background()) // its life is the cluster's, which Stop ends
	s.busy.Go(s.servePackets)
	s.busy.Go(s.serveStreams)
	return s, nil
}

func (s *nameserver) close() error {
	s.end()
	err := errors.Join(s.packets.Close(), s.streams.Close())
	s.busy.Wait()
	closeIdle(s.client.CoreV1().RESTClient())
	return err
}

func (s *nameserver) servePackets() {
	for buf := make([]byte, 4096); ; {
		n, from, err := s.packets.ReadFrom(buf)
		if err != nil {
			return // it was closed
		}
		question := string(buf[:n])
		s.busy.Go(func() {
			if reply := s.answer([]byte(question)); reply != nil {
				_, _ = s.packets.WriteTo(reply, from) // who hears nothing asks again
			}
		})
	}
}

func (s *nameserver) serveStreams() {
	for {
		conn, err := s.streams.Accept()
		if err != nil {
			return // it was closed
		}
		s.busy.Go(func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			question := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, question); err != nil {
				return
			}
			if reply := s.answer(question); reply != nil {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
			}
		})
	}
}

// answer gives nil to what can't be read.
func (s *nameserver) answer(question []byte) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: head.ID, Response: true, Authoritative: true, RecursionDesired: head.RecursionDesired}, Questions: []dnsmessage.Question{q}}
	at, code := s.find(q.Name.String())
	if m.RCode = code; at.Is4() && q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.AResource{A: at.As4()}}}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

func (s *nameserver) find(name string) (netip.Addr, dnsmessage.RCode) {
	local, within := strings.CutSuffix(strings.ToLower(name), ".svc.cluster.local.")
	service, namespace, two := strings.Cut(local, ".")
	if !within || !two || strings.Contains(namespace, ".") {
		return netip.Addr{}, dnsmessage.RCodeNameError
	}
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	got, err := s.client.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return netip.Addr{}, dnsmessage.RCodeNameError
	}
	if err != nil {
		return netip.Addr{}, dnsmessage.RCodeServerFailure
	}
	at, _ := netip.ParseAddr(got.Spec.ClusterIP) // a Service without one has a name, but no address
	return at, dnsmessage.RCodeSuccess
}
