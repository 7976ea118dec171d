/* What a command computes on. None of it changes a result: every choice gives the same bits. */
#ifndef GODWIT_EXECUTION_H
#define GODWIT_EXECUTION_H

typedef struct {
  int threads;         /* 0: all processors */
  const char *isa;     /* "generic", "avx2", "avx512"; NULL: the best there is */
  const char *backend; /* "cpu" or "reference"; NULL: cpu */
} GwExecutionOptions;

#endif
