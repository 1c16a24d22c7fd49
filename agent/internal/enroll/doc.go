// Package enroll makes the agent a member of its hub and keeps it one: it exchanges a join token for a certificate, renews that
// well before its end, and keeps what this takes where a restart finds it.
//
// Every key is kept before the hub hears of it, and every certificate before it is used. So a process that dies at any point, or a reply that
// is lost, costs a repetition and nothing else.
package enroll
