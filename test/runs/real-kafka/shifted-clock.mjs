// Loaded before a gateway: its wall clock is off by so many minutes.
const shiftMs = Number(new URL(import.meta.url).searchParams.get('minutes')) * 60_000
const RealDate = Date
const now = () => RealDate.now() + shiftMs
globalThis.Date = class Date extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [now()] : args))
  }
  static now = now
}
