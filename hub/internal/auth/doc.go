// Package auth tells who sends a request, and issues the API tokens and the short-lived tickets by which it knows. What they may do is asked of
// package fleet.
package auth
