// Package fleet holds the hub's nouns (Tenant, Cluster, Principal, Binding, Token) and the one question of access: Can.
package fleet
