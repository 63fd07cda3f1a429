// Package background bounds and plans the work of replicas that runs beside the load:
// it is paced, and one of a kind runs at a time.
package background
