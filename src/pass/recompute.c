/* How it works. An op whose outputs lie unread over a long gap (read in the forward pass, then not
 * before the backward pass) may be repeated: readers behind the gap then read the outputs of a
 * second execution, which is put right before the first of them. Its inputs are taken as they are
 * where they are still to be had, are kept longer where they are not repeated themselves, and are
 * repeated too where they are. So a set of repeated ops decides the whole order of execution, and
 * from that follow the bytes alive at each op.
 *
 * Sets are found greedily, from none down to the lowest peak that is reached. What lies above a
 * mark, a share of the present peak, summed over ops, is the overload; ops that lower it most per
 * second of work added are taken until the peak is at the mark, and then the next mark is set. This
 * is done with several shares: near marks show best what helps now, far ones what helps in the end.
 *
 * Every set on the way is a plan. The limit has no part in finding them, it chooses among them: the
 * cheapest that fits. So every limit from the least that is named upwards is met, and a higher one
 * never costs more. */
#include "pass/recompute.h"

#include <stdlib.h>
#include <string.h>

#include "pass/memory_plan.h"

/* The model of time: what an op computes and what it moves, one after the other. Only ratios count;
 * they are those of a present core. */
static const double flops_per_second = 1e11, bytes_per_second = 1e10;

/* Shares of the peak for marks; the share of the best op's score that is about as good. */
static const double marks[] = {0.95, 0.9, 0.8}, about_as_good = 0.6;

enum { DESCENTS = GW_COUNT_OF(marks), NOT_REPEATED = INT32_MAX };

/* An execution order: op i, or ~i when it is the second execution of op i. */
typedef struct {
  int32_t *ops; /* [2 · op_count] */
  int32_t count;
  bool *repeated; /* [op_count]: the second execution is in the order already */
  int32_t *place; /* [op_count]: of the first execution */
  int32_t *born;  /* [2 · value_count], of value v's first (2 v) and second (2 v + 1) life */
  int32_t *last;  /* its last reader */
  int64_t *live;  /* [2 · op_count + 1]: bytes alive at each place of the order */
  int64_t peak;
  double seconds; /* of second executions */
} Order;

/* The set of the first `count` of `added`, and what it takes. */
typedef struct {
  const int32_t *added;
  int32_t count;
  double seconds;
  int64_t peak;
  int64_t bytes; /* of the planned program, at least the peak; -1: not known yet */
} Plan;

typedef struct {
  double score; /* overload taken away, per second added */
  int32_t op;
} Ranked;

typedef struct {
  GwValueId value;
  int32_t maker;
} Read;

typedef struct {
  const GwProgram *program;
  int32_t *maker;  /* per value: its op, -1 for none */
  int64_t *size;   /* per value: bytes of an activation, 0 for others */
  Read *reads;     /* of activations, one op after the other */
  int32_t *begin;  /* [op_count + 1]: where an op's reads begin */
  int32_t *early;  /* per op: the last reader before the gap; -1: cannot be repeated */
  int32_t *late;   /* per op: the reader behind the gap */
  double *seconds; /* per op */
  int32_t *again;  /* the set, per op: `early`, or NOT_REPEATED */
  Order order;
  int32_t *loaded; /* [places]: how many before are above the mark */
  Ranked *ranked;  /* [op_count] */
  int32_t *added;  /* [DESCENTS · op_count] */
  Plan *plans;     /* [DESCENTS · op_count + 1] */
  int32_t plan_count;
  void *memory;
} Search;

/* ---- setting up ---- */

static double seconds_of(const GwProgram *program, int32_t i) {
  const GwOpDef *def = gw_op_def(program->ops[i].code);
  GwShapes shapes;
  if (gw_op_shapes(program, &program->ops[i], false, &shapes) != GW_OK) return 0;
  return (double)def->flops(&shapes) / flops_per_second +
         (double)gw_op_bytes(def, &shapes) / bytes_per_second;
}

/* Whether a second execution gives the same bits: all it reads must still be what it was. */
static bool repeatable(const GwProgram *program, const GwOp *op) {
  if (!op->out[0]) return false;
  for (int k = 0; k < GW_IN_MAX; k++) {
    if (!op->in[k]) continue;
    GwClass class = program->values[op->in[k]].class;
    if (class == GW_CLASS_ACCUM || class == GW_CLASS_STATE) return false;
  }
  return true;
}

/* The last reader before the longest gap between two uses of op's outputs. */
static void find_gaps(Search *s) {
  const GwProgram *p = s->program;
  int32_t *previous = s->order.last, *longest = s->order.born; /* lent: per op here */
  for (int32_t i = 0; i < p->op_count; i++) {
    previous[i] = i;
    longest[i] = 1; /* a gap has at least one op in it */
    s->early[i] = -1;
  }
  for (int32_t i = 0; i < p->op_count; i++)
    for (int32_t k = s->begin[i]; k < s->begin[i + 1]; k++) {
      int32_t maker = s->reads[k].maker;
      if (i - previous[maker] > longest[maker] && repeatable(p, &p->ops[maker])) {
        longest[maker] = i - previous[maker];
        s->early[maker] = previous[maker];
        s->late[maker] = i;
      }
      previous[maker] = i;
    }
}

/* Zeroed memory from one block: first the places are added up (`memory` is NULL), then taken. */
typedef struct {
  char *memory;
  size_t taken;
} Block;

static void *take(Block *block, size_t count, size_t element) {
  size_t at = block->taken;
  block->taken += gw_align_up(count * element, GW_ALIGN);
  return block->memory ? block->memory + at : NULL;
}

static size_t lay_out(Search *s, char *memory) {
  size_t ops = (size_t)s->program->op_count, values = (size_t)s->program->value_count;
  size_t places = 2 * (ops > values ? ops : values) + 1;
  Block block = {.memory = memory};
  s->maker = take(&block, values, sizeof *s->maker);
  s->size = take(&block, values, sizeof *s->size);
  s->reads = take(&block, ops * GW_IN_MAX, sizeof *s->reads);
  s->begin = take(&block, ops + 1, sizeof *s->begin);
  s->early = take(&block, ops, sizeof *s->early);
  s->late = take(&block, ops, sizeof *s->late);
  s->seconds = take(&block, ops, sizeof *s->seconds);
  s->again = take(&block, ops, sizeof *s->again);
  s->order.ops = take(&block, places, sizeof *s->order.ops);
  s->order.repeated = take(&block, ops, sizeof *s->order.repeated);
  s->order.place = take(&block, ops, sizeof *s->order.place);
  s->order.born = take(&block, places, sizeof *s->order.born);
  s->order.last = take(&block, places, sizeof *s->order.last);
  s->order.live = take(&block, places, sizeof *s->order.live);
  s->ranked = take(&block, ops, sizeof *s->ranked);
  s->loaded = take(&block, places, sizeof *s->loaded);
  s->added = take(&block, DESCENTS * ops, sizeof *s->added);
  s->plans = take(&block, DESCENTS * ops + 1, sizeof *s->plans);
  return block.taken;
}

static GwStatus search_init(Search *s, const GwProgram *program) {
  *s = (Search){.program = program};
  s->memory = calloc(1, lay_out(s, NULL));
  if (!s->memory) return gw_fail(GW_MEMORY, "no memory to plan program '%s'", program->name);
  lay_out(s, s->memory);
  for (GwValueId id = 0; id < program->value_count; id++) s->maker[id] = -1;
  for (int32_t i = 0; i < program->op_count; i++) {
    const GwOp *op = &program->ops[i];
    s->seconds[i] = seconds_of(program, i);
    s->begin[i + 1] = s->begin[i];
    for (int k = 0; k < GW_IN_MAX; k++)
      if (op->in[k] && s->maker[op->in[k]] >= 0)
        s->reads[s->begin[i + 1]++] = (Read){op->in[k], s->maker[op->in[k]]};
    for (int k = 0; k < GW_OUT_MAX; k++) {
      GwValueId id = op->out[k];
      if (!id) continue;
      s->maker[id] = i;
      s->size[id] = (int64_t)gw_align_up(gw_type_size(&program->values[id].type), GW_ALIGN);
    }
  }
  find_gaps(s);
  return GW_OK;
}

/* ---- the order of execution that a set stands for ---- */

/* Which life of what op `maker` made a reader gets that stands where op `at` stood. */
static int life(const Search *s, int32_t maker, int32_t at) { return at > s->again[maker]; }

/* Puts what op `i` needs, then the op itself. */
static void put(Search *s, int32_t i, int32_t at, bool second) {
  Order *order = &s->order;
  const GwOp *op = &s->program->ops[i];
  const Read *begin = s->reads + s->begin[i], *end = s->reads + s->begin[i + 1];
  if (second) order->repeated[i] = true;
  for (const Read *read = begin; read < end; read++)
    if (life(s, read->maker, at) && !order->repeated[read->maker]) put(s, read->maker, at, true);
  int32_t place = order->count++;
  order->ops[place] = second ? ~i : i;
  if (second)
    order->seconds += s->seconds[i];
  else
    order->place[i] = place;
  for (const Read *read = begin; read < end; read++)
    order->last[2 * read->value + life(s, read->maker, at)] = place;
  for (int k = 0; k < GW_OUT_MAX; k++)
    if (op->out[k])
      order->born[2 * op->out[k] + second] = order->last[2 * op->out[k] + second] = place;
}

static void measure(Search *s) {
  Order *order = &s->order;
  memset(order->live, 0, (size_t)(order->count + 1) * sizeof *order->live);
  for (GwValueId id = 1; id < s->program->value_count; id++) {
    int32_t maker = s->maker[id];
    if (maker < 0) continue;
    for (int l = 0; l <= order->repeated[maker]; l++) {
      order->live[order->born[2 * id + l]] += s->size[id];
      order->live[order->last[2 * id + l] + 1] -= s->size[id];
    }
  }
  order->peak = 0;
  for (int32_t i = 1; i < order->count; i++) order->live[i] += order->live[i - 1];
  for (int32_t i = 0; i < order->count; i++) order->peak = gw_max_i64(order->peak, order->live[i]);
}

static void arrange(Search *s) {
  Order *order = &s->order;
  order->count = 0;
  order->seconds = 0;
  memset(order->repeated, 0, (size_t)s->program->op_count * sizeof *order->repeated);
  for (int32_t i = 0; i < s->program->op_count; i++) put(s, i, i, false);
  measure(s);
}

static double overload(const Order *order, int64_t mark) {
  double sum = 0;
  for (int32_t i = 0; i < order->count; i++)
    if (order->live[i] > mark) sum += (double)(order->live[i] - mark);
  return sum;
}

/* ---- the search ---- */

static void clear(Search *s) {
  for (int32_t i = 0; i < s->program->op_count; i++) s->again[i] = NOT_REPEATED;
}

static void use(Search *s, const Plan *plan) {
  clear(s);
  for (int32_t k = 0; k < plan->count; k++) s->again[plan->added[k]] = s->early[plan->added[k]];
  arrange(s);
}

/* Makes the set, which is arranged, a plan. */
static void add_plan(Search *s, const int32_t *added, int32_t count) {
  s->plans[s->plan_count++] = (Plan){added, count, s->order.seconds, s->order.peak, -1};
}

static int best_first(const void *left, const void *right) {
  const Ranked *a = left, *b = right;
  if (a->score != b->score) return a->score < b->score ? 1 : -1;
  return a->op < b->op ? -1 : 1;
}

/* Of op `i`, which is not in the set that has this overload and takes these seconds. */
static double score(Search *s, int32_t i, int64_t mark, double before, double seconds) {
  s->again[i] = s->early[i];
  arrange(s);
  s->again[i] = NOT_REPEATED;
  double gain = before - overload(&s->order, mark), cost = s->order.seconds - seconds;
  return gain <= 0 ? 0 : gain / (cost > 1e-12 ? cost : 1e-12);
}

/* Fills `ranked` with the ops that lower the overload and returns how many. Only such can as have
 * their outputs kept at a place that is above the mark. */
static int32_t rank(Search *s, int64_t mark, double before, double seconds) {
  int32_t count = 0;
  const Order *order = &s->order;
  for (int32_t at = 0; at < order->count; at++)
    s->loaded[at + 1] = s->loaded[at] + (order->live[at] > mark);
  for (int32_t i = 0; i < s->program->op_count; i++) {
    if (s->early[i] < 0 || s->again[i] != NOT_REPEATED) continue;
    if (s->loaded[order->place[s->early[i]] + 1] < s->loaded[order->place[s->late[i]]])
      s->ranked[count++] = (Ranked){0, i};
  }
  for (int32_t k = 0; k < count; k++)
    s->ranked[k].score = score(s, s->ranked[k].op, mark, before, seconds);
  qsort(s->ranked, (size_t)count, sizeof *s->ranked, best_first);
  while (count > 0 && s->ranked[count - 1].score <= 0) count--;
  return count;
}

/* A round: adds the ops that are about as good as the best one, and still are when their turn
 * comes, until the peak is at the mark. Returns by how many `added`, the set of `count`, grew. */
static int32_t lower(Search *s, double share, int32_t *added, int32_t count) {
  arrange(s);
  int64_t mark = (int64_t)((double)s->order.peak * share);
  double before = overload(&s->order, mark), seconds = s->order.seconds;
  int32_t ranked = rank(s, mark, before, seconds), more = 0;
  for (int32_t k = 0; k < ranked && before > 0; k++) {
    int32_t i = s->ranked[k].op;
    double enough = s->ranked[0].score * about_as_good;
    if (s->ranked[k].score < enough) break;
    if (k > 0 && score(s, i, mark, before, seconds) < enough) continue;
    s->again[i] = s->early[i];
    arrange(s);
    before = overload(&s->order, mark);
    seconds = s->order.seconds;
    added[count + more++] = i;
    add_plan(s, added, count + more);
  }
  return more;
}

static int cheapest_first(const void *left, const void *right) {
  const Plan *a = left, *b = right;
  if (a->seconds != b->seconds) return a->seconds < b->seconds ? -1 : 1;
  if (a->peak != b->peak) return a->peak < b->peak ? -1 : 1;
  if (a->added != b->added) return a->added < b->added ? -1 : 1;
  return a->count < b->count ? -1 : 1;
}

static void search(Search *s) {
  clear(s);
  arrange(s);
  add_plan(s, NULL, 0);
  s->plans[0].bytes = s->program->class_bytes[GW_CLASS_ACTIVATION];
  for (int i = 0; i < DESCENTS; i++) {
    int32_t *added = s->added + i * s->program->op_count, count = 0, more;
    clear(s);
    while ((more = lower(s, marks[i], added, count)) > 0) count += more;
  }
  qsort(s->plans, (size_t)s->plan_count, sizeof *s->plans, cheapest_first);
}

/* ---- the new program ---- */

static GwStatus rebuild(const Search *s, GwProgram *out) {
  const GwProgram *p = s->program;
  GwValueId *now = calloc(2 * (size_t)p->value_count, sizeof *now); /* per life */
  if (!now) return gw_fail(GW_MEMORY, "no memory to plan program '%s'", p->name);
  gw_program_init(out, p->name);
  for (GwValueId id = 1; id < p->value_count; id++) {
    const GwValue *value = &p->values[id];
    if (value->class != GW_CLASS_ACTIVATION)
      now[2 * id] = gw_value_add(out, value->class, value->type, value->name);
  }
  int32_t at = 0; /* the op of the old program that is being served */
  for (int32_t i = 0; i < s->order.count; i++) {
    bool second = s->order.ops[i] < 0;
    const GwOp *op = &p->ops[second ? ~s->order.ops[i] : s->order.ops[i]];
    GwValueId in[GW_IN_MAX] = {0};
    for (int k = 0; k < GW_IN_MAX; k++) {
      int32_t maker = s->maker[op->in[k]];
      if (op->in[k]) in[k] = now[2 * op->in[k] + (maker >= 0 && life(s, maker, at))];
    }
    GwValueId made = gw_emit(out, op->code, in, op->attr);
    for (int k = 0; k < GW_OUT_MAX; k++)
      if (op->out[k]) now[2 * op->out[k] + second] = made + k;
    if (!second) at++;
  }
  free(now);
  GwStatus status = out->status;
  if (status == GW_OK) status = gw_plan_memory(out);
  if (status != GW_OK) gw_program_deinit(out);
  return status;
}

static void describe(const Search *s, GwRecomputation *out) {
  const GwProgram *p = s->program;
  double all = 0;
  for (int32_t i = 0; i < p->op_count; i++) {
    all += s->seconds[i];
    if (!s->order.repeated[i]) continue;
    GwShapes shapes;
    const GwOpDef *def = gw_op_def(p->ops[i].code);
    out->count++;
    out->by_op[p->ops[i].code]++;
    if (gw_op_shapes(p, &p->ops[i], false, &shapes) != GW_OK) continue;
    if (!gw_add_i64(out->flops, def->flops(&shapes), &out->flops)) out->flops = INT64_MAX;
    if (!gw_add_i64(out->bytes, gw_op_bytes(def, &shapes), &out->bytes)) out->bytes = INT64_MAX;
  }
  out->share = all > 0 ? s->order.seconds / all : 0;
}

/* ---- the choice ---- */

static GwStatus find_bytes(Search *s, Plan *plan) {
  if (plan->bytes >= 0) return GW_OK;
  GwProgram program;
  use(s, plan);
  GW_TRY(rebuild(s, &program));
  plan->bytes = program.class_bytes[GW_CLASS_ACTIVATION];
  gw_program_deinit(&program);
  return GW_OK;
}

/* The cheapest plan within the limit; if there is none, the one that takes least. Offsets are given
 * only where the peak leaves the question open. */
static GwStatus choose(Search *s, int64_t limit, const Plan **out) {
  for (Plan *plan = s->plans; plan < s->plans + s->plan_count; plan++) {
    if (plan->peak > limit) continue;
    GW_TRY(find_bytes(s, plan));
    *out = plan;
    if (plan->bytes <= limit) return GW_OK;
  }
  const Plan *least = NULL;
  for (Plan *plan = s->plans + s->plan_count; plan-- > s->plans;) {
    if (least && plan->peak >= least->bytes) continue;
    GW_TRY(find_bytes(s, plan));
    if (!least || plan->bytes < least->bytes) least = plan;
  }
  *out = least;
  return GW_OK;
}

GwStatus gw_recompute(GwProgram *program, int64_t limit, GwRecomputation *out) {
  *out = (GwRecomputation){.fits = true};
  if (!program->planned) GW_TRY(gw_plan_memory(program));
  if (program->class_bytes[GW_CLASS_ACTIVATION] <= limit) return GW_OK;
  Search s;
  GW_TRY(search_init(&s, program));
  GwStatus status = GW_OK;
  const Plan *plan = NULL;
  search(&s);
  GW_TRY_GOTO(status, choose(&s, limit, &plan), done);
  out->fits = plan->bytes <= limit;
  use(&s, plan);
  if (s.order.count == program->op_count) goto done; /* nothing lowers what it takes */
  GwProgram changed;
  GW_TRY_GOTO(status, rebuild(&s, &changed), done);
  describe(&s, out);
  gw_program_deinit(program);
  *program = changed;
done:
  free(s.memory);
  return status;
}
