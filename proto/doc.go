// Package proto is the contract on the wire: the definitions under tunnel/v1, and what is generated from them. It imports
// nothing of ours.
package proto

//go:generate env GOWORK=off go tool -modfile=../.tools/go.mod buf generate
