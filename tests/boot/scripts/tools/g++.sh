# SPDX-License-Identifier: Apache-2.0
cat > h.cc <<'X'
#include <iostream>
#include <thread>
#include <vector>
#include <mutex>
#include <filesystem>
#include <fstream>
int main() { std::vector<std::thread> t; std::mutex m; int n = 0; for (int i = 0; i < 8; i++) t.emplace_back([&]{ for (int j = 0; j < 1000; j++) { std::lock_guard g(m); n++; } }); for (auto &x : t) x.join(); std::cout << n << "\n"; try { throw std::runtime_error("x"); } catch (std::exception &e) { std::cout << e.what() << "\n"; } std::ofstream("f") << "hi"; std::cout << std::filesystem::file_size("f") << "\n"; }
X
g++ -O1 -std=c++17 -pthread -o h h.cc && ./h
