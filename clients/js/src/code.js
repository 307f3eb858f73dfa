/**
 * The code as it was meant: without spaces, separators and invisible characters (`DI`: those that a font may leave out).
 * @param {string} text
 */
export const cleanCode = (text) => text.replace(/[\s\p{Z}\p{P}\p{C}\p{DI}]/gu, '');
