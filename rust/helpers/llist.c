// SPDX-License-Identifier: GPL-2.0

#include <linux/llist.h>

static struct tcpfo_node *tcpfo_stacked_node(struct llist_node *entry)
{
	return entry ? llist_entry(entry, struct tcpfo_node, stacked) : NULL;
}

void tcpfo_helper_stack_push(struct llist_head *stack, struct tcpfo_node *node)
{
	llist_add(&node->stacked, stack);
}

/**
 * tcpfo_helper_stack_take - empty a stack
 * @stack: the stack
 *
 * Return: the node that was pushed last, from which tcpfo_helper_stack_next() leads to the
 * others, or NULL.
 */
struct tcpfo_node *tcpfo_helper_stack_take(struct llist_head *stack)
{
	return tcpfo_stacked_node(llist_del_all(stack));
}

struct tcpfo_node *tcpfo_helper_stack_next(struct tcpfo_node *node)
{
	return tcpfo_stacked_node(node->stacked.next);
}
