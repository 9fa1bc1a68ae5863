// Lines of numbers, many and fast. For s3fd/evaluation/predictions.py.

#include "arrays/library.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace s3fd {
namespace {

// Reads one number at `text`, of which `end` is the end; null where there is none.
const char* read_number(const char* text, const char* end, double& value) {
  if (text != end && *text == '+') ++text;
#ifdef __cpp_lib_to_chars
  const auto [rest, error] = std::from_chars(text, end, value);
  return error == std::errc() ? rest : nullptr;
#else
  char* rest = nullptr;
  value = std::strtod(text, &rest);  // stops at the zero that ends every bytes object
  return rest == text || rest > end ? nullptr : rest;
#endif
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Writes the numbers of one line; false where it does not hold `columns` numbers and nothing else.
bool read_line(std::string_view line, int64_t columns, double* values) {
  const char* at = line.data();
  const char* const end = at + line.size();
  int64_t count = 0;
  while (true) {
    while (at != end && is_space(*at)) ++at;
    if (at == end) return count == columns;
    double value = 0;
    at = read_number(at, end, value);
    if (at == nullptr || count == columns || (at != end && !is_space(*at))) return false;
    values[count++] = value;
  }
}

}  // namespace
}  // namespace s3fd

// The numbers of a text that a zero ends, `columns` a line, blank lines passed over. `rows`: how
// many lines of the table were written, which has room for all lines. `wrong`: -1, or the first
// line, from 0, that holds anything else.
S3FD_EXPORT const char* s3fd_read_number_lines(const char* text, int64_t length, int64_t columns,
                                               double* table, int64_t* rows, int64_t* wrong) {
  return s3fd::run_guarded([&] {
    std::string_view rest(text, size_t(length));
    *rows = 0;
    *wrong = -1;
    for (int64_t number = 0; !rest.empty(); ++number) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      if (!s3fd::read_line(line, columns, table + *rows * columns)) {
        *wrong = number;
        return;
      }
      ++*rows;
    }
  });
}
