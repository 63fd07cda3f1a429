// Package fair shares out a busy server among its clients: one that sends many requests
// at the same time does not get more of it than its share while others want theirs.
//
// As long as one client is alone, it may do what it likes. When others send requests
// too, and together they have as many under way as keep the server busy, a client that
// has its share under way waits: until one of its own has been answered, or there is
// room. A client that never has more under way than its share, which is what most are
// like, waits for nobody. How many keep the server busy depends on who is there: among
// clients that all send many, more are let in, because that makes the server faster, and
// the time that one takes matters to none of them.
package fair
