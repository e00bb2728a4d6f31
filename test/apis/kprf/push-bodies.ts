import { SeededRandom } from '../../support/random.js'

const strings = [
  '""',
  '"x"',
  '"topic"',
  '"a\\"b"',
  '"\\u00e9"',
  '"\\ud83d\\ude00"',
  '"\\ud83d"',
  '"\\ude00"',
  '"\\ud83dx"',
  '"\\ud83d\\n"',
  '"\\ud83d\\u0041"',
  '"é€😀"',
  '"\\x"',
  '"\\u12"',
  '"\\u12g4"',
  '"\t"',
  '"\\/\\b\\f\\n\\r\\t"',
  '"',
  '"abc',
  '"\\',
  '"\\u',
  '"\u0301\u200b\u00ad\ue000"',
  '"it\'s\\u0000\\u007f\\u0085"',
  '"\\uFFFF"'
]
const numbers =
  '0 1 -1 -0 00 01 - -a 1.0 1. .5 1e 1e5 1E+2 1e- 1.5e-7 1.e5 1e+ -0.0 0.1 2147483647 2147483648 -2147483648 -2147483649 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616 -18446744073709551615 -18446744073709551616 184467440737095516150000 184467440737095516150. 184467440737095516151.5 184467440737095516150.25e3 1e400 -1e400 0e400 1e99999999999 0e99999999999 1e-99999999999 1e-400 123456789012345678901234567890e-10 0.30000000000000004 3.14159265358979323846264338 1e21 1e22 1.7976931348623157e308 4.9e-324 1e308 1e309 12345.678e300 5e-324 0.0000001 123456789.123456789123456789 1844674407370955.16150000'.split(
    ' '
  )
const words = ['null', 'true', 'false', 'nul', 'tru', 'fals', 'nulx', 'truE', 'falsy', 'n', 'undefined', 'NaN']
/** What stands between the quotes of sensible data. */
const texts = [
  'xé€😀 ',
  'plain text ',
  '\\"json\\": {\\"a\\": 1}',
  '\\u00e9\\ud83d\\ude00',
  '\\\\',
  'tab\\tnew line\\n'
]
const mutations = Buffer.from('"\\,{}[]\n\0\xff\xc3\xed :-.e0', 'latin1')

/**
 * An endless supply of bodies for `POST /push`: right ones, nearly right ones, and wrong ones of many kinds.
 *
 * @param tameness out of 10: how many of the bodies, roughly, are left as a sensible client would write them
 */
export class PushBodies {
  readonly #seeded: SeededRandom
  readonly #tameness: number

  constructor(seed: number, tameness = 0) {
    this.#seeded = new SeededRandom(seed)
    this.#tameness = tameness
  }

  next(): Buffer {
    if (this.#random(10) < this.#tameness) return Buffer.from(this.#tamePush())
    const body = Buffer.from(this.#random(20) > 0 ? this.#push() : this.#value(0))
    return this.#random(3) > 0 ? body : this.#mutate(body)
  }

  #random(below: number): number {
    return this.#seeded.between(0, below - 1)
  }

  #pick<Value>(values: readonly Value[]): Value {
    return this.#seeded.pick(values)
  }

  #many(below: number, make: () => string): string[] {
    return Array.from({ length: this.#random(below) }, make)
  }

  #value(depth: number): string {
    switch (this.#random(depth > 3 ? 3 : 6)) {
      case 0:
        return this.#pick(strings)
      case 1:
        return this.#pick(numbers)
      case 2:
        return this.#pick(words)
      case 3: {
        const items = this.#many(4, () => this.#value(depth + 1)).join(this.#pick([',', ', ', ' ,']))
        return `[${items}${this.#pick([']', ']', ']', '', ',]', '}'])}`
      }
      case 4: {
        const entries = this.#many(4, () => `${this.#pick(strings)}:${this.#value(depth + 1)}`).join(',')
        return `{${entries}${this.#pick(['}', '}', '}', '', ',}', ']'])}`
      }
      default:
        return this.#record()
    }
  }

  #space(): string {
    return this.#pick(['', '', '', '', ' ', '\n', '\r\n', '\t', '  '])
  }

  #goodString(): string {
    return this.#pick(['"x"', '"é€😀"', '"a\\"b"', '"\\ud83d\\ude00"'])
  }

  #field(): string {
    const make = (key: string, value: string): string => {
      const shown = this.#random(9) > 0 ? value : this.#value(0)
      return [this.#space(), key, this.#space(), ':', this.#space(), shown, this.#space()].join('')
    }
    const kind = this.#random(12)
    if (kind < 3) return make('"topic"', this.#goodString())
    if (kind < 6) return make('"data"', this.#goodString())
    if (kind < 8) return make(this.#pick(['"key"', '"k\\u0065y"']), this.#pick([this.#goodString(), 'null']))
    if (kind < 10) return make('"partition"', this.#pick(['0', '3', 'null', '-1']))
    return make(this.#pick(['"other"', '"é"', '"\\n"']), this.#value(0))
  }

  #record(): string {
    if (this.#random(5) === 0) {
      const fields = [this.#goodString(), this.#goodString(), this.#pick([this.#goodString(), 'null']), '1']
      const shown = fields.slice(0, 1 + this.#random(4))
      if (this.#random(6) === 0) shown.push(this.#value(0))
      return `[${shown.join(',')}${this.#pick([']', ']', ']', ']', ',]', '', '}'])}`
    }
    const fields =
      this.#random(2) > 0
        ? [`"topic":${this.#goodString()}`, `"data":${this.#goodString()}`, ...this.#many(2, () => this.#field())]
        : this.#many(6, () => this.#field())
    return `{${fields.join(',')}${this.#pick(['}', '}', '}', '}', '}', ',}', '', ']'])}`
  }

  #push(): string {
    const list = `[${this.#many(4, () => this.#record()).join(this.#pick([',', ',', ' , ', ',\n']))}${this.#pick([']', ']', ']', ']', ',]', ''])}`
    if (this.#random(7) === 0) {
      return `[${list}${this.#pick(['', ',true', ',null', ',false', ',1', ',true,1', ','])}${this.#pick([']', ']', '}', ''])}`
    }
    const parts = [`${this.#space()}"records"${this.#space()}:${this.#random(8) > 0 ? list : this.#value(0)}`]
    if (this.#random(2) > 0) {
      const wait = this.#random(4) > 0 ? this.#pick(['true', 'false', 'null']) : this.#value(0)
      parts.push(`${this.#space()}"wait_for_send"${this.#space()}:${wait}`)
    }
    if (this.#random(4) === 0) {
      parts.push(`${this.#pick(['"u"', '"records"', '"wait_for_send"', '"\\ud800"'])}:${this.#value(0)}`)
    }
    if (this.#random(2) > 0) parts.reverse()
    const end = this.#pick(['}', '}', '}', '}', '}', '', ',}', ']'])
    return `${this.#space()}{${parts.join(',')}${end}${this.#space()}${this.#pick(['', '', '', '', 'x', '\0', ','])}`
  }

  /** What well-behaved clients send. */
  #tamePush(): string {
    const records = this.#many(5, () => {
      const fields = [
        `"topic":${this.#pick(['"a"', '"orders"', '"é"'])}`,
        `"data":"${this.#pick(texts).repeat(this.#random(9))}"`
      ]
      if (this.#random(2) > 0) fields.push(`"key":${this.#pick(['null', '""', '"k"', '"ключ"'])}`)
      if (this.#random(2) > 0) fields.push(`"partition":${this.#pick(['null', '0', '-1', '12', '-0', '123456789'])}`)
      if (this.#random(2) > 0) fields.reverse()
      return `{${fields.join(this.#pick([',', ', ']))}}`
    })
    const parts = [`"records":[${records.join(',')}]`]
    if (this.#random(3) > 0) parts.push(`"wait_for_send": ${this.#pick(['true', 'false', 'null'])}`)
    if (this.#random(2) > 0) parts.reverse()
    return `{${parts.join(this.#pick([',', ',', ',\n  ']))}}${this.#pick(['', '', '\n'])}`
  }

  #mutate(body: Buffer): Buffer {
    let bytes = Buffer.from(body)
    for (let i = this.#random(3); i > 0 && bytes.length > 0; i--) {
      const at = this.#random(bytes.length)
      const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
      switch (this.#random(5)) {
        case 0:
          bytes[at] = this.#random(256)
          break
        case 1:
          bytes = before
          break
        case 2:
          bytes = Buffer.concat([before, after.subarray(1 + this.#random(3))])
          break
        case 3:
          bytes = Buffer.concat([before, Buffer.of(mutations[this.#random(mutations.length)]!), after])
          break
        default:
          bytes = Buffer.concat([before, before.subarray(this.#random(before.length + 1)), after])
      }
    }
    return bytes
  }
}
