// SPDX-License-Identifier: GPL-2.0

#include <linux/sysfs.h>

/**
 * tcpfo_helper_sysfs_attr_init - give an attribute that was not defined statically its lock class
 * @attr: the attribute
 * @removes: writing to it removes directories
 */
void tcpfo_helper_sysfs_attr_init(struct attribute *attr, bool removes)
{
	if (removes)
		sysfs_attr_init(attr);
	else
		sysfs_attr_init(attr);
}
