import type { CastellanError, ErrorCode } from './errors.js'

/** The code of an error of a part. Only calls of programs have errors with other codes. */
export const errorCodeOf = ({ code }: { readonly code: CastellanError['code'] }): ErrorCode => code as ErrorCode
