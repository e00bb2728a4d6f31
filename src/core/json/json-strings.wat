;; Source of the module whose bytes are in json-strings.ts.
(module
  ;; The bytes that are looked at, 64 KiB, and behind them the places that were found, two bytes each.
  (memory (export "m") 3)

  ;; Lists the places of the first $end bytes that a plain string does not have: quotes, backslashes, and bytes below 0x20.
  ;; $end is a multiple of 32, and not 0. Returns where the list ends.
  (func (export "f") (param $end i32) (result i32)
    (local $at i32)
    (local $to i32)
    ;; A bit for each of 32 bytes.
    (local $mask i32)
    (local $bytes v128)
    (local $space v128)
    (local $quote v128)
    (local $backslash v128)
    (local $first v128)
    (local $second v128)
    (local.set $to (i32.const 65536))
    (local.set $space (i8x16.splat (i32.const 0x20)))
    (local.set $quote (i8x16.splat (i32.const 0x22)))
    (local.set $backslash (i8x16.splat (i32.const 0x5c)))
    (loop $next
      (local.set $first
        (v128.or
          (i8x16.lt_u (local.tee $bytes (v128.load align=1 (local.get $at))) (local.get $space))
          (v128.or (i8x16.eq (local.get $bytes) (local.get $quote)) (i8x16.eq (local.get $bytes) (local.get $backslash)))))
      (local.set $second
        (v128.or
          (i8x16.lt_u (local.tee $bytes (v128.load offset=16 align=1 (local.get $at))) (local.get $space))
          (v128.or (i8x16.eq (local.get $bytes) (local.get $quote)) (i8x16.eq (local.get $bytes) (local.get $backslash)))))
      (if (v128.any_true (v128.or (local.get $first) (local.get $second)))
        (then
          (local.set $mask
            (i32.or
              (i8x16.bitmask (local.get $first))
              (i32.shl (i8x16.bitmask (local.get $second)) (i32.const 16))))
          (loop $found
            (i32.store16 (local.get $to) (i32.add (local.get $at) (i32.ctz (local.get $mask))))
            (local.set $to (i32.add (local.get $to) (i32.const 2)))
            ;; Takes out the lowest bit, until there is none.
            (br_if $found
              (local.tee $mask (i32.and (local.get $mask) (i32.sub (local.get $mask) (i32.const 1))))))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end))))
    (local.get $to)))
