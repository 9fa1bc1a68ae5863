// Lines of numbers, many and fast. For s3fd/evaluation/predictions.py.

#include "evaluation/module.h"

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

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

// Appends the numbers of one line; false where it does not hold `columns` numbers and nothing else.
bool read_line(std::string_view line, size_t columns, std::vector<double>& values) {
  const char* at = line.data();
  const char* const end = at + line.size();
  size_t count = 0;
  while (true) {
    while (at != end && is_space(*at)) ++at;
    if (at == end) return count == columns;
    double value = 0;
    at = read_number(at, end, value);
    if (at == nullptr || ++count > columns || (at != end && !is_space(*at))) return false;
    values.push_back(value);
  }
}

}  // namespace

std::pair<Array<double>, int64_t> read_number_lines(const pybind11::bytes& text, size_t start,
                                                    size_t columns) {
  std::string_view rest = text;
  rest.remove_prefix(std::min(start, rest.size()));
  std::vector<double> values;
  int64_t wrong = -1;
  {
    const pybind11::gil_scoped_release release;
    values.reserve(rest.size() / 4);
    for (int64_t number = 0; !rest.empty(); ++number) {
      const size_t length = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, length);
      rest.remove_prefix(std::min(length + 1, rest.size()));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      if (!read_line(line, columns, values)) {
        wrong = number;
        break;
      }
    }
  }
  if (wrong >= 0) return {Array<double>(0), wrong};
  const pybind11::ssize_t rows = pybind11::ssize_t(values.size() / columns);
  Array<double> table({rows, pybind11::ssize_t(columns)});
  std::copy(values.begin(), values.end(), table.mutable_data());
  return {table, wrong};
}

}  // namespace s3fd
