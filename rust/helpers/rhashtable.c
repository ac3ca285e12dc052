// SPDX-License-Identifier: GPL-2.0

#include <linux/rhashtable.h>

static const struct rhashtable_params tcpfo_table_params = {
	.head_offset = offsetof(struct tcpfo_node, head),
	.key_offset = offsetof(struct tcpfo_node, key),
	.key_len = TCPFO_KEY_LEN,
	.automatic_shrinking = true,
};

int tcpfo_helper_table_init(struct rhashtable *table)
{
	return rhashtable_init(table, &tcpfo_table_params);
}

struct tcpfo_node *tcpfo_helper_table_lookup(struct rhashtable *table, const u8 *key)
{
	return rhashtable_lookup(table, key, tcpfo_table_params);
}

int tcpfo_helper_table_insert(struct rhashtable *table, struct tcpfo_node *node)
{
	return rhashtable_lookup_insert_fast(table, &node->head, tcpfo_table_params);
}

int tcpfo_helper_table_remove(struct rhashtable *table, struct tcpfo_node *node)
{
	return rhashtable_remove_fast(table, &node->head, tcpfo_table_params);
}

/**
 * tcpfo_helper_table_walk - show each node of a table to a function
 * @table: the table
 * @visit: called under the RCU read lock; returns false to end the walk
 * @data: passed to @visit
 *
 * While the table is being resized a node may be shown twice.
 */
void tcpfo_helper_table_walk(struct rhashtable *table,
			     bool (*visit)(void *data, struct tcpfo_node *node), void *data)
{
	struct rhashtable_iter iter;
	struct tcpfo_node *node;

	rhashtable_walk_enter(table, &iter);
	rhashtable_walk_start(&iter);
	for (;;) {
		node = rhashtable_walk_next(&iter);
		if (PTR_ERR(node) == -EAGAIN)
			continue;
		if (IS_ERR_OR_NULL(node) || !visit(data, node))
			break;
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
}
