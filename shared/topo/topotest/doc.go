// Package topotest is what tests of the topology share: the scenario language, a naive oracle that builds the graph from
// scratch, small rules to test the engine with, and builders of large graphs for benchmarks.
package topotest
