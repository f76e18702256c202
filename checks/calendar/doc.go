// Package calendar says when a time of people is: office hours, holidays, the second Monday of each month. It is pure:
// texts in, moments out.
//
//	Def (name, zone, lines, exceptions) ──► Compile ──► Period ──► Within(t), Next(t)
//
// Times are those of a clock on the wall. Each of them is one moment of a day, also when the clock is set: one that it
// leaves out is the moment of the jump, and one that it shows twice is the first. So nothing begins twice in a night,
// and what ends at 02:30 is over before what begins then.
//
// On each day the lines count that name it most exactly, and they alone: a date, before a day of the year, a day of the
// month, a weekday of one month, a weekday of each, and the days of the week.
//
// It starts no goroutine. A Period does not change, and is safe for concurrent use.
package calendar
