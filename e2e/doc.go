// Package e2e is the tests that run the real programs as people run them, a hub on each store and agents as processes of their
// own, against real Kubernetes control planes, and that abuse them.
package e2e
