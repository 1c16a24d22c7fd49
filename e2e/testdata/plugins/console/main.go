// Command console is an example of a notifier: it appends a line of JSON for each notification to the file that its first argument names.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/plugin"
)

type console struct {
	pluginv1.UnimplementedNotifierServer
	path string

	mu   sync.Mutex
	last string // key of the notification written last: one that comes again right away is known
}

// Describe implements pluginv1.NotifierServer.
func (*console) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.NotifierDescription, error) {
	return &pluginv1.NotifierDescription{Name: "console", Version: "1.0.0"}, nil
}

// Notify implements pluginv1.NotifierServer.
func (c *console) Notify(_ context.Context, n *pluginv1.Notification) (*pluginv1.NotifyReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.GetKey() == c.last {
		return &pluginv1.NotifyReply{}, nil
	}
	line, err := protojson.Marshal(n)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := c.write(append(line, '\n')); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error()) // the disk may have room later
	}
	c.last = n.GetKey()
	return &pluginv1.NotifyReply{}, nil
}

func (c *console) write(line []byte) error {
	f, err := os.OpenFile(c.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(line); err != nil {
		_ = f.Close() // the first failure is the one to tell
		return err
	}
	return f.Close()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "[ERROR] usage: console FILE")
		os.Exit(2)
	}
	plugin.ServeNotifier(&console{path: os.Args[1]})
}
