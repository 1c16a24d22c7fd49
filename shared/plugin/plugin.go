// Package plugin is what the hub and the programs that plug into it agree on besides the messages: the handshake, the names of the services, and how
// large a message may be. A plugin's main function calls ServeEnricher or ServeNotifier.
package plugin

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
)

// The services a plugin may serve, by the names under which they are asked for.
const (
	Enricher = "enricher"
	Notifier = "notifier"
)

// Version is the newest version of the contract that this program speaks: that of proto/plugin/v1.
const Version = 1

// MaxMessage is how many bytes a message may have, either way.
const MaxMessage = 4 << 20

// Handshake tells a plugin that it was started by a hub. It is no secret.
var Handshake = goplugin.HandshakeConfig{
	ProtocolVersion:  Version,
	MagicCookieKey:   "PLUGIN_OF_KUBILITICS",
	MagicCookieValue: "c2b3b1e4-topology",
}

// Versions is what a hub can talk to, by version of the contract.
func Versions() map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{Version: {Enricher: &service{}, Notifier: &service{}}}
}

// ServeEnricher serves until the hub lets go of the plugin.
func ServeEnricher(e pluginv1.EnricherServer) {
	serve(Enricher, func(s *grpc.Server) { pluginv1.RegisterEnricherServer(s, e) })
}

// ServeNotifier serves until the hub lets go of the plugin.
func ServeNotifier(n pluginv1.NotifierServer) {
	serve(Notifier, func(s *grpc.Server) { pluginv1.RegisterNotifierServer(s, n) })
}

func serve(name string, register func(*grpc.Server)) {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{Version: {name: &service{register: register}}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage))...)
		},
	})
}

// service is one service on either side; the hub gets the bare connection for it.
type service struct {
	goplugin.NetRPCUnsupportedPlugin
	register func(*grpc.Server)
}

// GRPCServer implements goplugin.GRPCPlugin.
func (s *service) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	s.register(server)
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin.
func (s *service) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
