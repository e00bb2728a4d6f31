;; Source of the module whose bytes are in json-strings.ts.
(module
  ;; The memory that the function checks: one page, 64 KiB.
  (memory (export "m") 1)

  ;; Whether a byte below 0x20 is among the first $end bytes; $end is a multiple of 64, and not 0.
  (func (export "f") (param $end i32) (result i32)
    (local $at i32)
    ;; Lane i holds the least byte at the positions i, i + 16, i + 32 and so on.
    (local $least v128)
    (local.set $least (v128.const i8x16 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1))
    (loop $next
      ;; Each iteration checks 64 bytes.
      local.get $least
      (v128.load align=1 (local.get $at))
      i8x16.min_u
      (v128.load offset=16 align=1 (local.get $at))
      i8x16.min_u
      (v128.load offset=32 align=1 (local.get $at))
      i8x16.min_u
      (v128.load offset=48 align=1 (local.get $at))
      i8x16.min_u
      local.set $least
      (br_if $next
        (i32.lt_u
          (local.tee $at (i32.add (local.get $at) (i32.const 64)))
          (local.get $end))))
    (v128.any_true
      (i8x16.lt_u
        (local.get $least)
        (v128.const i8x16 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20 0x20)))))
