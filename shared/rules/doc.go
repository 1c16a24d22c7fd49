// Package rules is the table of relationships between Kubernetes objects. One row is one rule and is data: from which
// kinds, of which type, and where in the object the reference stands. The table compiles its rows to what a decoder
// must pick out of an object in one pass (Captures), and turns what was picked into links of the graph (Links).
package rules
