/* How it works. An op whose outputs lie unread over a long gap (read in the forward pass, then not
 * before the backward pass) may be repeated: readers behind the gap then read the outputs of a
 * second execution, which is put right before the first of them. Its inputs are taken as they are
 * where they are still to be had, are kept longer where they are not repeated themselves, and are
 * repeated too where they are. So a set of repeated ops decides the whole order of execution, and
 * from that follow the bytes alive at each op.
 *
 * The set is found greedily. What lies above a mark slightly below the present peak, summed over
 * ops, is the overload; each round takes the op that lowers it most per second of work added. When
 * the peak fits, ops that turn out to be repeated needlessly are put back, dearest first. */
#include "pass/recompute.h"

#include <stdlib.h>
#include <string.h>

#include "pass/memory_plan.h"

/* The model of time: what an op computes and what it moves, one after the other. Only ratios count;
 * they are those of a present core. */
static const double flops_per_second = 1e11, bytes_per_second = 1e10;

enum { ROUNDS_OF_FITTING = 8 };

/* An execution order: op i, or ~i when it is the second execution of op i. */
typedef struct {
  int32_t *ops; /* [2 · op_count] */
  int32_t count;
  bool *repeated; /* [op_count]: the second execution is in the order already */
  int32_t *born;  /* [2 · value_count], of value v's first (2 v) and second (2 v + 1) life */
  int32_t *last;  /* its last reader */
  int64_t *live;  /* [2 · op_count + 1]: bytes alive at each place of the order */
  int64_t peak;
  double seconds; /* of second executions */
} Order;

typedef struct {
  const GwProgram *program;
  int32_t *maker;  /* per value: its op, -1 for none */
  int64_t *size;   /* per value: bytes of an activation, 0 for others */
  int32_t *early;  /* per op: the last reader before the gap; -1: cannot be repeated */
  double *seconds; /* per op */
  bool *again;     /* per op: the set */
  Order order;
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
    for (int k = 0; k < GW_IN_MAX; k++) {
      int32_t maker = p->ops[i].in[k] ? s->maker[p->ops[i].in[k]] : -1;
      if (maker < 0) continue;
      if (i - previous[maker] > longest[maker] && repeatable(p, &p->ops[maker])) {
        longest[maker] = i - previous[maker];
        s->early[maker] = previous[maker];
      }
      previous[maker] = i;
    }
}

static size_t take(size_t *total, size_t count, size_t element) {
  size_t at = *total;
  *total += gw_align_up(count * element, GW_ALIGN);
  return at;
}

static GwStatus search_init(Search *s, const GwProgram *program) {
  size_t ops = (size_t)program->op_count + 1, values = (size_t)program->value_count, total = 0;
  size_t places = 2 * (ops > values ? ops : values);
  size_t maker = take(&total, values, sizeof *s->maker),
         size = take(&total, values, sizeof *s->size);
  size_t early = take(&total, ops, sizeof *s->early), seconds = take(&total, ops, sizeof(double));
  size_t again = take(&total, ops, sizeof(bool)), repeated = take(&total, ops, sizeof(bool));
  size_t order = take(&total, places, sizeof(int32_t)),
         live = take(&total, places, sizeof(int64_t));
  size_t born = take(&total, places, sizeof(int32_t)), last = take(&total, places, sizeof(int32_t));
  char *memory = calloc(1, total);
  if (!memory) return gw_fail(GW_MEMORY, "no memory to plan program '%s'", program->name);
  *s = (Search){.program = program, .memory = memory};
  s->maker = (void *)(memory + maker);
  s->size = (void *)(memory + size);
  s->early = (void *)(memory + early);
  s->seconds = (void *)(memory + seconds);
  s->again = (void *)(memory + again);
  s->order = (Order){.ops = (void *)(memory + order),
                     .repeated = (void *)(memory + repeated),
                     .born = (void *)(memory + born),
                     .last = (void *)(memory + last),
                     .live = (void *)(memory + live)};
  for (GwValueId id = 0; id < program->value_count; id++) s->maker[id] = -1;
  for (int32_t i = 0; i < program->op_count; i++) {
    s->seconds[i] = seconds_of(program, i);
    for (int k = 0; k < GW_OUT_MAX; k++) {
      GwValueId id = program->ops[i].out[k];
      if (!id) continue;
      s->maker[id] = i;
      s->size[id] = (int64_t)gw_align_up(gw_type_size(&program->values[id].type), GW_ALIGN);
    }
  }
  find_gaps(s);
  return GW_OK;
}

/* ---- the order of execution that a set stands for ---- */

/* Which life of value `id` a reader gets that stands where op `at` stood. */
static int life(const Search *s, GwValueId id, int32_t at) {
  int32_t maker = s->maker[id];
  return maker >= 0 && s->again[maker] && at > s->early[maker];
}

/* Puts what op `i` needs, then the op itself. */
static void put(Search *s, int32_t i, int32_t at, bool second) {
  Order *order = &s->order;
  const GwOp *op = &s->program->ops[i];
  if (second) order->repeated[i] = true;
  for (int k = 0; k < GW_IN_MAX; k++) {
    int32_t maker = op->in[k] ? s->maker[op->in[k]] : -1;
    if (maker >= 0 && life(s, op->in[k], at) && !order->repeated[maker]) put(s, maker, at, true);
  }
  int32_t place = order->count++;
  order->ops[place] = second ? ~i : i;
  if (second) order->seconds += s->seconds[i];
  for (int k = 0; k < GW_IN_MAX; k++)
    if (op->in[k]) order->last[2 * op->in[k] + life(s, op->in[k], at)] = place;
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

/* Adds the op that lowers the overload most per second; false when none lowers it. */
static bool add_best(Search *s, int64_t limit) {
  arrange(s);
  int64_t mark = gw_max_i64(limit, s->order.peak / 50 * 49);
  double before = overload(&s->order, mark), seconds = s->order.seconds, best_score = 0;
  int32_t best = -1;
  for (int32_t i = 0; i < s->program->op_count; i++) {
    if (s->early[i] < 0 || s->again[i]) continue;
    s->again[i] = true;
    arrange(s);
    s->again[i] = false;
    double gain = before - overload(&s->order, mark), cost = s->order.seconds - seconds;
    double score = gain / (cost > 1e-12 ? cost : 1e-12);
    if (gain <= 0 || score <= best_score) continue;
    best = i;
    best_score = score;
  }
  if (best >= 0) s->again[best] = true;
  arrange(s);
  return best >= 0;
}

/* Takes ops out of the set that it does not need to stay within the limit, dearest first. */
static void prune(Search *s, int64_t limit) {
  double below = 1e300;
  for (;;) {
    int32_t dearest = -1;
    for (int32_t i = 0; i < s->program->op_count; i++)
      if (s->again[i] && s->seconds[i] < below &&
          (dearest < 0 || s->seconds[i] > s->seconds[dearest]))
        dearest = i;
    if (dearest < 0) break;
    below = s->seconds[dearest];
    for (int32_t i = 0; i < s->program->op_count; i++) {
      if (!s->again[i] || s->seconds[i] != below) continue;
      s->again[i] = false;
      arrange(s);
      if (s->order.peak > limit) s->again[i] = true;
    }
  }
  arrange(s);
}

static void search(Search *s, int64_t limit) {
  arrange(s);
  while (s->order.peak > limit && add_best(s, limit)) continue;
  prune(s, gw_max_i64(limit, s->order.peak));
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
    for (int k = 0; k < GW_IN_MAX; k++)
      if (op->in[k]) in[k] = now[2 * op->in[k] + life(s, op->in[k], at)];
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

GwStatus gw_recompute(GwProgram *program, int64_t limit, GwRecomputation *out) {
  *out = (GwRecomputation){.fits = true};
  if (!program->planned) GW_TRY(gw_plan_memory(program));
  if (program->class_bytes[GW_CLASS_ACTIVATION] <= limit) return GW_OK;
  Search s;
  GW_TRY(search_init(&s, program));
  GwStatus status = GW_OK;
  GwProgram changed = {0};
  int64_t wanted = limit;
  /* The plan may need a little more than what is alive at once; then less must be alive. */
  for (int round = 0; round < ROUNDS_OF_FITTING; round++) {
    gw_program_deinit(&changed);
    search(&s, wanted);
    GW_TRY_GOTO(status, rebuild(&s, &changed), done);
    int64_t over = changed.class_bytes[GW_CLASS_ACTIVATION] - limit;
    if (over <= 0 || s.order.peak > wanted) break;
    wanted -= over;
  }
  describe(&s, out);
  out->fits = changed.class_bytes[GW_CLASS_ACTIVATION] <= limit;
  gw_program_deinit(program);
  *program = changed;
done:
  free(s.memory);
  return status;
}
