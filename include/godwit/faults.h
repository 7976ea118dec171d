/* Faults that are put into a run on purpose: `godwit train --ranks N --inject CLASS:key=value,...`.
 * This table has all there is to say about a class: the parser, the help, `godwit chaos` and the
 * test of docs/fault-model.md are made from it. */
#ifndef GODWIT_FAULTS_H
#define GODWIT_FAULTS_H

/* X(NAME, name, keys, what happens, event, blames, weight)
 *   keys    a class with `rank` happens to that rank, another to the run; NAME=word|word: the
 *           values of this key, the first where none is given
 *   event   what must be seen: a fault of that kind in the run's journal; older: the run went on
 *           from an older checkpoint than the damaged one; unsaved: it was said that there is no
 *           checkpoint; takeover: a new supervisor; none: nothing, not even a false alarm
 *   blames  1: and it must name that rank
 *   weight  how often `godwit chaos` draws it. Not drawn: a slow rank, about which nothing has to
 *           be done, and what takes several nodes */
#define GW_INJECT_LIST(X)                                                                          \
  X(KILL, "kill", "step rank op", "SIGKILL to the rank", "death", 1, 4)                            \
  X(EXIT, "exit", "step rank op", "the rank ends with an error", "death", 1, 2)                    \
  X(STOP, "stop", "step rank op", "SIGSTOP to the rank", "hang", 1, 1)                             \
  X(SPIN, "spin", "step rank op", "the rank loops for ever", "hang", 1, 1)                         \
  X(LOCK, "lock", "step rank op", "the rank sleeps for ever", "hang", 1, 1)                        \
  X(SLOW, "slow", "step rank factor steps how=compute|network|input|disk",                         \
    "STEPS of its steps take FACTOR times longer, in its ops or where HOW says", "none", 1, 0)     \
  X(FLIP, "flip", "step rank tensor=weights|m|v bit how=one|every32",                              \
    "a bit of its share of weights, m or v, in one element or every 32nd", "lie", 1, 4)            \
  X(COPY, "copy", "step rank bit",                                                                 \
    "a bit of its node's copy of a weight that another node's rank owns", "lie", 0, 0)             \
  X(GRADIENT, "gradient", "step rank bit", "a bit of its sums of gradients", "lie", 1, 2)          \
  X(PAYLOAD, "payload", "step rank bit how=bit|lost|twice|swapped|cut",                            \
    "a bit of the total that it receives, or blocks of it that HOW says", "lie", 1, 2)             \
  X(REDUCE, "reduce", "step rank how=missing|twice|alone|tail|half",                               \
    "its own part is missing from its total, or what HOW says", "lie", 1, 2)                       \
  X(REDUCE_ALL, "reduce-all", "step how=missing|twice|alone|tail|half",                            \
    "that happens on every rank", "lie", 0, 1)                                                     \
  X(NAN, "nan", "step rank how=nan|inf", "a weight of its share becomes NaN or infinite", "lie",   \
    1, 1)                                                                                          \
  X(TORN, "torn", "step", "the next checkpoint is cut short, then its node dies", "older", 0, 1)   \
  X(BYTE, "byte", "step", "a byte of the next checkpoint changes, then its node dies", "older", 0, \
    1)                                                                                             \
  X(FULL, "full", "step how=space|error|readonly",                                                 \
    "the disk is full, fails or is read-only while the next checkpoint is written", "unsaved", 0,  \
    1)                                                                                             \
  X(SUPERVISOR, "supervisor", "step", "SIGKILL to the supervisor", "takeover", 0, 1)               \
  X(NODE, "node", "step rank", "SIGKILL to all of the rank's node; its snapshots are gone",        \
    "death", 0, 1)

typedef enum {
#define X(name, text, keys, does, event, blames, weight) GW_INJECT_##name,
  GW_INJECT_LIST(X)
#undef X
      GW_INJECT_CLASSES
} GwInjectClass;

/* The list for a help text: one string literal. */
#define GW__INJECT_LINE(name, text, keys, does, event, blames, weight)                             \
  "  " text " (" keys "): " does "\n"
#define GW_INJECT_HELP GW_INJECT_LIST(GW__INJECT_LINE)

#endif
