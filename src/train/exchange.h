/* What ranks exchange in a step, around their gw_world: counts, sums, norms, parameters. Each rank
 * owns a slice of the parameters (GwShares), totals the gradient there and updates it. */
#ifndef GW_EXCHANGE_H
#define GW_EXCHANGE_H

#include "comm/world.h"
#include "train/training_plan.h"

typedef struct {
  GwWorld *world;
  const GwTrainingPlan *plan;
  int64_t **sums;        /* the accum buffers of the node's ranks */
  int64_t *sum_first;    /* [ranks + 1]: rank r's slice of each of them, in elements */
  int64_t *param_first;  /* [ranks + 1]: likewise of the parameter buffer, in bytes */
  int64_t *square_first; /* [ranks + 1]: likewise of the squares */
  const uint64_t *seeds; /* of the state hash, three per parameter; the trainer's */
  uint64_t *share_hash;  /* [ranks]: of each one's share of the state, as it was written */
  uint64_t *copy_hash;   /* [ranks]: of the copies of other nodes' parameters that this rank looks
                            after, as they came */
  char *params;          /* what the node's ranks share */
  uint64_t *room;        /* for what is gathered: ours, then everybody's */
  uint64_t transfer_ns;  /* spent on moving sums and parameters, all steps together */
} GwExchange;

/* The buffers that the ranks of a node share; collective. The parameters and the moments are there
 * once per node, the sums once per rank. */
typedef struct {
  void *params, *moments, *sums;
} GwExchangeBuffers;
GwStatus gw_exchange_create(GwWorld *world, const GwTrainingPlan *plan, int32_t lanes,
                            GwExchange *out, GwExchangeBuffers *buffers);
void gw_exchange_destroy(GwExchange *exchange); /* a zeroed one is fine */

/* The parameters were filled in anew: this is how they are to stay until the next step. */
void gw_exchange_filled(GwExchange *exchange);
/* Whether the copies of other nodes' parameters, which the node's ranks share among them, are what
 * came. */
bool gw_exchange_copies_hold(const GwExchange *exchange);

/* The elements of the sums that this rank totals: [slice[0], slice[1]). */
void gw_exchange_slice(const GwExchange *exchange, int64_t slice[2]);

/* What a rank has counted over its lanes; becomes what all have. signatures: [lanes], zero where a
 * rank computed none. *sum: Σ of the signatures. From here on the sums of all ranks are whole. */
GwStatus gw_exchange_counts(GwExchange *exchange, int64_t tally[3], uint64_t *signatures,
                            int32_t lanes, uint64_t *sum);

/* With several nodes: begins what gw_exchange_sums does before the sums are whole; `final_from` as
 * in gw_world_reduce_poll. */
void gw_exchange_sums_early(GwExchange *exchange);
GwStatus gw_exchange_sums_poll(GwExchange *exchange, int64_t final_from);

/* The sums of the slice that is ours become totals. */
GwStatus gw_exchange_sums(GwExchange *exchange);

/* After `total` has run on the slice: everybody's squares in their place, and the signature of the
 * whole total. */
GwStatus gw_exchange_squares(GwExchange *exchange, double *squares, uint64_t *signature);

/* When that signature is not the sum of the lanes': the rank whose memory or arithmetic is to
 * blame, -1 when it cannot be told. `claimed`: Σ signatures of our lanes; `total`: of our slice. */
GwStatus gw_exchange_blame(GwExchange *exchange, uint64_t claimed, uint64_t total, int32_t *rank);

/* *accused: the lowest rank that found something `bad`; -1: none did. */
GwStatus gw_exchange_accuse(GwExchange *exchange, bool bad, int32_t *accused);

/* A few bytes that every rank adds to the step's last exchange, for whatever it likes. */
typedef struct {
  const void *mine;
  void *all; /* [ranks * bytes] */
  size_t bytes;
} GwNotes;

/* After the update of the slice: every node has all parameters, and every rank knows
 * *hash = Σ over ranks of hash[0] + hash[1]. `bad`: this rank found its slice of the state changed;
 * *accused becomes the lowest such rank, or one whose node had or now has other parameters than
 * were written, -1: none. The step is made when this returns GW_OK with none accused. */
GwStatus gw_exchange_params(GwExchange *exchange, const uint64_t hash[GW_STATE_HASHES], bool bad,
                            const GwNotes *notes, uint64_t *sum, int32_t *accused);

#endif
