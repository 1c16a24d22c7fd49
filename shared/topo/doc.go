// Package topo holds the nouns of the topology (Ref, Resource, Node, Edge, Diff, Digest, Position) and the pure incremental
// engine that turns changes of objects into changes of the graph. It imports nothing but the standard library.
package topo
