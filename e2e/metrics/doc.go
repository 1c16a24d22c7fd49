// Package metrics tests what hub and agent tell of themselves in numbers: that each metric is documented as it is, that no label grows with what is done,
// and that the dashboard and the alert rules of the hub's chart ask only for metrics that exist and say what they should.
package metrics
