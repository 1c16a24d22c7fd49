// Package house holds the rules of the house that a machine can check: who may import whom, what every package must say of
// itself, how long a file may grow. Its tests read the whole tree.
package house
