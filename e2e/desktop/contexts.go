// Package desktop has kubeconfigs as people's machines have them, with contexts that live and contexts that are dead in every way there is, for tests and
// measurements of the desktop.
package desktop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauth "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubilitics/kubilitics/e2e/kube"
)

// Contexts is a kubeconfig that is being made. Close ends what stands behind its dead contexts.
type Contexts struct {
	api.Config
	listeners []net.Listener
}

// New makes an empty one.
func New() *Contexts { return &Contexts{Config: *api.NewConfig()} }

// Close ends the listeners.
func (c *Contexts) Close() {
	for _, l := range c.listeners {
		_ = l.Close() // closed once
	}
}

// Write writes the file, as an editor does: another one is put in its place.
func (c *Contexts) Write(path string) error {
	if err := clientcmd.WriteToFile(c.Config, path+".new"); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Remove takes a context out.
func (c *Contexts) Remove(name string) {
	delete(c.Contexts, name)
	delete(c.Clusters, name)
	delete(c.AuthInfos, name)
}

func (c *Contexts) add(name string, cluster *api.Cluster, user *api.AuthInfo) {
	c.Clusters[name], c.AuthInfos[name] = cluster, user
	c.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
}

// parts are the cluster and its administrator.
func parts(k *kube.Cluster) (*api.Cluster, *api.AuthInfo, error) {
	cfg, err := clientcmd.Load(k.Kubeconfig())
	if err != nil {
		return nil, nil, err
	}
	for _, x := range cfg.Contexts {
		return cfg.Clusters[x.Cluster], cfg.AuthInfos[x.AuthInfo], nil
	}
	return nil, nil, fmt.Errorf("the cluster's kubeconfig has no context")
}

// Living leads to a cluster.
func (c *Contexts) Living(name string, k *kube.Cluster) error {
	cluster, user, err := parts(k)
	if err == nil {
		c.add(name, cluster, user)
	}
	return err
}

// Plugin leads to a cluster with the credentials that a plugin gives, which it notes in a file each time. The secret is what the plugin alone knows: a line of
// the key.
func (c *Contexts) Plugin(name string, k *kube.Cluster, credential, calls string) (secret string, err error) {
	cluster, user, err := parts(k)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(clientauth.ExecCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: "client.authentication.k8s.io/v1", Kind: "ExecCredential"},
		Status: &clientauth.ExecCredentialStatus{
			ClientCertificateData: string(user.ClientCertificateData), ClientKeyData: string(user.ClientKeyData),
		},
	})
	if err == nil {
		err = os.WriteFile(credential, text, 0o600)
	}
	c.add(name, cluster, &api.AuthInfo{Exec: execOf("echo called >> '" + calls + "'; cat '" + credential + "'")})
	return string(user.ClientKeyData), err
}

func execOf(script string) *api.ExecConfig {
	return &api.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "sh", Args: []string{"-c", script}, InteractiveMode: api.IfAvailableExecInteractiveMode,
	}
}

// Refused leads to a port that nobody listens at.
func (c *Contexts) Refused(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.add(name, &api.Cluster{Server: "https://" + l.Addr().String()}, &api.AuthInfo{})
	return l.Close()
}

// Silent leads to somebody who takes connections and never says a word.
func (c *Contexts) Silent(name string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.listeners = append(c.listeners, l)
	c.add(name, &api.Cluster{Server: "https://" + l.Addr().String()}, &api.AuthInfo{})
	return nil
}

// WrongCertificate leads to a cluster and trusts another's root.
func (c *Contexts) WrongCertificate(name string, k *kube.Cluster) error {
	cluster, user, err := parts(k)
	if err != nil {
		return err
	}
	cluster.CertificateAuthorityData, err = otherRoot()
	c.add(name, cluster, user)
	return err
}

func otherRoot() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// BrokenPlugin leads to a cluster with a plugin that fails.
func (c *Contexts) BrokenPlugin(name string, k *kube.Cluster) error {
	cluster, _, err := parts(k)
	if err == nil {
		c.add(name, cluster, &api.AuthInfo{Exec: execOf("echo you must log in >&2; exit 7")})
	}
	return err
}

// UnknownName leads to a name that nobody has.
func (c *Contexts) UnknownName(name string) {
	c.add(name, &api.Cluster{Server: "https://nowhere.invalid:6443"}, &api.AuthInfo{})
}

// Dead adds a context of each kind that is dead, and gives what the desktop is to say of each.
func (c *Contexts) Dead(k *kube.Cluster) (codes map[string]string, err error) {
	for _, step := range []func() error{
		func() error { return c.Refused("dead-refused") },
		func() error { return c.Silent("dead-silent") },
		func() error { return c.WrongCertificate("dead-certificate", k) },
		func() error { return c.BrokenPlugin("dead-plugin", k) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.UnknownName("dead-name")
	return map[string]string{
		"dead-refused": "refused", "dead-silent": "silent", "dead-certificate": "certificate", "dead-plugin": "credentials", "dead-name": "name",
	}, nil
}
