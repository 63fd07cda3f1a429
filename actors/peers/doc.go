// Package peers is how a node and the other nodes of its fleet reach each other, and
// what they say of themselves: which brokers and replicas run where, and which lead.
// What a node has heard is an opinion (see Links). Whoever is told something is an actor
// of this process, which gets it as a message; what it makes of it is its own affair.
package peers
