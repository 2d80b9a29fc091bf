// Package timing tests whether the time of a piece of code tells two classes of inputs apart. It is for tests of what
// must not depend on a secret. Its power is shown in the same run: the same code with a leak planted must
// be found out.
//
// The method is that of dudect (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", DATE 2017): inputs of
// two classes, usually one fixed and one random, in random order; measurements above a percentile of all are cropped,
// for a hundred percentiles, since what interrupts a program makes long ones; and Welch's t-test for the means of each
// crop, and for the variances of the whole (the mean of centred squares). |t| above [Threshold] is a difference. The
// threshold is the one of test vector leakage assessment (Goodwill, Jun, Jaffe, Rohatgi: "A testing methodology for
// side-channel resistance validation", NIST 2011): one measurement in 100,000 passes it by chance.
//
// Beyond dudect, a run has five turns, and each crop's t is the median of its turns, with its sign. What disturbs one
// turn, such as another process, therefore decides nothing, and a hundred crops make no false alarm. A real difference
// has the same sign in each turn.
//
// Limits. A run on a shared machine shows no difference below the one that it states ([Result.Sees]). The time of code
// is one channel: caches, power and branch predictors are others. Only the classes that a probe names are compared.
package timing
