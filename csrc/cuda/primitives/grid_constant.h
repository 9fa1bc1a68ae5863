// A kernel's parameter that is read where the launch put it, and not copied to be indexed.
#pragma once

#ifdef __CUDACC__
#define S3FD_GRID_CONSTANT __grid_constant__
#else
#define S3FD_GRID_CONSTANT
#endif
