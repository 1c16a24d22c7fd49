// Package charts tests the Helm charts: what they render, what they refuse, and what becomes of them on a real API server.
package charts
