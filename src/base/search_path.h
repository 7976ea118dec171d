/* The folders where programs are found: the PATH that the shell uses too. */
#ifndef GW_SEARCH_PATH_H
#define GW_SEARCH_PATH_H

/* "dir:dir:...", as the environment says, or the system's usual one. Borrowed, never NULL. */
const char *gw_search_path(void);

#endif
