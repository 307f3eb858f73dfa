/**
 * The code as it was meant: without spaces, separators and invisible characters.
 * @param {string} text
 */
export const cleanCode = (text) => text.replace(/[\s\p{Z}\p{P}\p{C}\p{Default_Ignorable_Code_Point}]/gu, '');
